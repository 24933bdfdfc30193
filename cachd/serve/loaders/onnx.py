"""ONNX models as sessions of ONNX Runtime."""

from __future__ import annotations

import os

from cachd.serve.errors import WeightsRefused
from cachd.serve.loaders.held_while import held_while
from cachd.serve.loaders.required import required

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cachd.serve.version import Version, View


def onnxruntime_session(v: Version | View[Any], name: str | None = None, **options: Any) -> Any:
    """An InferenceSession of the version's `.onnx` file.

    `name`: the file; needed only where a version has several and none is `model.onnx`. `options`
    go to InferenceSession (`sess_options`, `providers`: by default all that are available). It is
    opened by path, so weights in files of their own (external data) are found. ONNX Runtime makes
    its own copy of what it optimises. LibraryMissing, WeightsRefused, FileRefused."""
    onnxruntime = required("onnxruntime", "onnxruntime", "onnxruntime_session")
    name = name or _choose(v.files)
    v.fd(name)  # the version has it, within itself
    path = os.path.join(v.path, *name.split("/"))
    if not os.path.exists(path):
        raise WeightsRefused(
            f"{v.path} is not visible in this process, which ONNX Runtime needs: mount the node's "
            "cache at the same path here"
        )
    options.setdefault("providers", onnxruntime.get_available_providers())
    return held_while(onnxruntime.InferenceSession(path, **options), v)


def _choose(files: dict[str, int]) -> str:
    found = [path for path in files if path.endswith(".onnx")]
    if "model.onnx" in found:
        return "model.onnx"
    if len(found) == 1:
        return found[0]
    if not found:
        raise WeightsRefused(
            f"this version has no .onnx file, only {', '.join(sorted(files)[:10])}"
        )
    raise WeightsRefused(
        f"this version has several .onnx files: say which with name={min(found)!r}, or "
        f"another of {', '.join(sorted(found)[:10])}"
    )
