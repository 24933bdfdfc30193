"""Names, digests, references and guards: one parser each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_core.domain.identifiers import (
    ChunkId,
    Digest,
    Guard,
    ModelName,
    NodeId,
    StageName,
    StageRef,
    VersionRef,
    parse_version_number,
)
from registry_core.errors import InvalidIdentifier

HEX = "0123456789abcdef" * 4
GOOD_NAMES = ["a", "0", "fraud-detector", "a.b_c-9", "a--b", "x" * 128]
BAD_NAMES = [
    "", "A", "-a", "a-", ".a", "a.", "_", "a b", "a/b", "a@b", "ä", "a\n", "a\0", "x" * 129, "..",
    "sha256:" + HEX, None, 1, b"a",
]  # fmt: skip
NAME_PARSERS: list[Callable[[object], object]] = [ModelName.parse, StageName.parse, NodeId.parse]


@pytest.mark.parametrize("parse", NAME_PARSERS)
@pytest.mark.parametrize("text", GOOD_NAMES)
def test_names(parse: Callable[[object], object], text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize("parse", NAME_PARSERS)
@pytest.mark.parametrize("text", BAD_NAMES)
def test_bad_names(parse: Callable[[object], object], text: object) -> None:
    with pytest.raises(InvalidIdentifier, match="use 1 to 128 of a-z"):
        parse(text)


def test_latest_is_no_stage() -> None:
    with pytest.raises(InvalidIdentifier, match="reserved"):
        StageName.parse("latest")
    assert ModelName.parse("latest").text == "latest"


def test_digests_print_as_they_parse() -> None:
    assert str(Digest.parse(f"sha256:{HEX}")) == f"sha256:{HEX}"
    assert Digest.parse_hex(HEX).hex == ChunkId.parse_hex(HEX).hex == HEX


@pytest.mark.parametrize(
    "text",
    [HEX, f"sha256:{HEX.upper()}", f"sha256:{HEX[1:]}", f"sha256:{HEX}0", f"sha512:{HEX}",
     f" sha256:{HEX}", f"sha256:{HEX}\n", "", None, 5],
)  # fmt: skip
def test_bad_digests(text: object) -> None:
    with pytest.raises(InvalidIdentifier):
        Digest.parse(text)


@pytest.mark.parametrize("text", [HEX.upper(), HEX[1:], HEX + "0", HEX + "\n", None, 5])
def test_bad_chunk_ids(text: object) -> None:
    with pytest.raises(InvalidIdentifier):
        ChunkId.parse_hex(text)


@pytest.mark.parametrize("kind", [Digest, ChunkId])
def test_digests_have_32_bytes(kind: Callable[[bytes], object]) -> None:
    with pytest.raises(InvalidIdentifier, match="32 bytes, not 31"):
        kind(bytes(31))


def test_references() -> None:
    model = ModelName("m")
    assert VersionRef.parse("m/3") == VersionRef(model, number=3)
    assert VersionRef.parse("m@prod") == VersionRef(model, stage=StageName("prod"))
    digest = Digest.parse(f"sha256:{HEX}")
    assert VersionRef.parse(f"m@{digest}") == VersionRef(model, digest=digest)
    assert VersionRef.parse("models:/m/3") == VersionRef.parse("m/3")
    assert str(StageRef.parse("models:/m@prod")) == "m@prod"


@pytest.mark.parametrize(
    "text", ["m", "m/", "m/0", "m/-1", "m/03", "m/3/4", "m@", "@prod", "m@latest", "m@a@b", "/3",
             "m@sha256:12", "m/x", "m/3@prod", "models:/", "M/3"],
)  # fmt: skip
def test_bad_references(text: str) -> None:
    with pytest.raises(InvalidIdentifier):
        VersionRef.parse(text)


@pytest.mark.parametrize("number", [1, "1", 999, "9" * 15])
def test_version_numbers(number: object) -> None:
    assert parse_version_number(number) == int(str(number))


@pytest.mark.parametrize(
    "number", [0, -1, True, 1.0, "0", "01", "+1", "1 ", "\u0661", None, 1 << 53]
)
def test_bad_version_numbers(number: object) -> None:
    with pytest.raises(InvalidIdentifier):
        parse_version_number(number)


@given(st.integers(0, 10**15 - 1), st.integers(0, 10**15 - 1))
def test_guards_print_as_they_parse(generation: int, choice: int) -> None:
    guard = Guard(generation, choice)
    assert Guard.parse(str(guard)) == guard


@pytest.mark.parametrize(
    "text", ["", "1", "1.", ".1", "01.0", "1.0.0", "-1.0", "1.0\n", "a.b", 1.0]
)
def test_bad_guards(text: object) -> None:
    with pytest.raises(InvalidIdentifier, match=r"for example 4\.0"):
        Guard.parse(text)
