"""An inference process: `python -m cachctl.demo.worker MODEL STAGE SOCKET`.

What a serving program looks like that uses cachd: attach once, acquire per request. The node's
socket is in CACHD_SOCKET. Answers on a Unix socket, one thread per connection: a question that
waits holds up no other. The version is acquired after the wait, as late as the answer allows.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: several workers share a machine
os.environ.setdefault("OMP_NUM_THREADS", "1")

import contextlib
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from cachctl.demo.forward import Forward, make_forward
from cachctl.demo.protocol import Answer, Question, receive, send
from cachd.serve.client import attach

_SWITCH_INTERVAL_S = 0.0005
"""A request waits so long, at most, for the interpreter that a load or another request holds."""
_WARM_UP_IDS = np.arange(16, dtype=np.int32)


def load(version: Any) -> Forward:
    """Weights are mapped, not copied: workers of a host share one copy."""
    root = Path(version.path)
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    return make_forward(names, version.buffer)


def warm(_version: Any, forward: Forward) -> None:
    """The first calls pay for page faults and caches; nobody waits for them here."""
    for _ in range(3):
        forward(_WARM_UP_IDS)


def main(model_name: str, stage: str, path: str) -> None:
    serve(attach(model_name, stage=stage, load=load, warm=warm, timeout_s=60.0), path)


def serve(model: Any, path: str) -> None:
    """Answer by what `model.acquire()` gives, for ever."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        Path(path).unlink(missing_ok=True)
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(model, connection), daemon=True).start()


def _serve(model: Any, connection: socket.socket) -> None:
    with connection, contextlib.suppress(ConnectionError):
        while True:
            question = Question.decode(receive(connection))
            time.sleep(question.wait_s)
            try:
                answer = _answer(model, question).encode()
            except Exception:
                traceback.print_exc()
                answer = b""  # told apart from a worker that was killed, which answers nothing
            send(connection, answer)


def _answer(model: Any, question: Question) -> Answer:
    with model.acquire() as v:
        vector = v.value(question.ids)
        digest = bytes.fromhex(v.digest.removeprefix("sha256:"))
        return Answer(v.number, v.generation, v.choice, time.monotonic_ns(), digest, vector)


if __name__ == "__main__":
    main(*sys.argv[1:4])
