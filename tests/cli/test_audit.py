"""The past from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.cachctl import cachctl
from tests.models import make_model


def test_audit(home: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        files = make_model(tmp_path / f"v{number}", tensors=1, seed=number)
        assert cachctl("push", files, "--model", "m", "--metric", f"auc=0.9{number}",
                       registry=home).code == 0  # fmt: skip
    assert cachctl("promote", "m@production", "1", "--actor", "ci-7", registry=home).code == 0
    assert cachctl("promote", "m@production", "2", "--reason", "better", "--actor", "ann",
                   registry=home).code == 0  # fmt: skip
    found = cachctl("audit", "--since", "1h", "--actor", "ci*", "--json", registry=home).json
    assert [entry["type"] for entry in found["entries"]] == ["stage.moved"]
    told = cachctl("audit", "m", "--type", "stage", registry=home).out
    assert "1.0=1" in told
    assert "better" in told
    then = cachctl("audit", "m@production", "--at", "0s", registry=home)
    assert then.code == 0
    for line in ("m@production served m/2", "by ann", "better", "signed     promoter", "auc=0.92"):
        assert line in then.out, line
    served = cachctl("audit", "--at", "0s", "--json", registry=home).json["stages"]
    assert [(one["number"], one["generation"]) for one in served] == [(2, 2)]
    early = cachctl("audit", "m@production", "--at", "2001-01-01", registry=home)
    assert "nothing had been promoted" in early.out
    for words in (("--at", "1h", "--since", "2h"), ("m@production",), ("--since", "soon")):
        assert cachctl("audit", *words, registry=home).code == 2, words
