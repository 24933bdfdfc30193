"""Golden bytes, and frames that are none."""

from __future__ import annotations

import socket
import struct

import numpy as np
import pytest

from cachctl.demo.protocol import Answer, MalformedFrame, Question, receive, send

QUESTION = bytes.fromhex("c409000007000000ffffff7f")
ANSWER = bytes.fromhex(
    "0200000000000000" "0500000000000000" "0100000000000000" "15cd5b0700000000"
    + "ab" * 32 + "0000803f" "000000c0"
)  # fmt: skip


def test_a_question_has_its_bytes() -> None:
    question = Question(0.0025, np.array([7, 2**31 - 1], dtype=np.int32))
    assert question.encode() == QUESTION
    again = Question.decode(QUESTION)
    assert again.wait_s == 0.0025
    assert again.ids.tolist() == [7, 2**31 - 1]


def test_an_answer_has_its_bytes() -> None:
    answer = Answer(2, 5, 1, 123456789, b"\xab" * 32, np.array([1, -2], dtype=np.float32))
    assert answer.encode() == ANSWER
    again = Answer.decode(ANSWER)
    assert (again.number, again.generation, again.choice) == (2, 5, 1)
    assert (again.answered_ns, again.digest) == (123456789, b"\xab" * 32)
    assert again.vector.tolist() == [1.0, -2.0]


@pytest.mark.parametrize("frame", [b"", b"\0" * 63, ANSWER[:-1]])
def test_no_answer(frame: bytes) -> None:
    with pytest.raises(MalformedFrame):
        Answer.decode(frame)


@pytest.mark.parametrize("frame", [b"", b"\0\0\0", QUESTION[:-1]])
def test_no_question(frame: bytes) -> None:
    with pytest.raises(MalformedFrame):
        Question.decode(frame)


def test_frames_cross_a_socket_in_any_pieces() -> None:
    one, other = socket.socketpair()
    with one, other:
        send(one, ANSWER)
        assert receive(other) == ANSWER
        for byte in struct.pack("<I", len(QUESTION)) + QUESTION:
            one.sendall(bytes([byte]))
        assert receive(other) == QUESTION


def test_a_frame_is_bounded_and_whole() -> None:
    one, other = socket.socketpair()
    with other:
        with one:
            one.sendall(struct.pack("<I", (1 << 20) + 1))
            with pytest.raises(MalformedFrame, match="1048577"):
                receive(other)
            one.sendall(struct.pack("<I", 10) + b"cut")
        with pytest.raises(ConnectionError):
            receive(other)
