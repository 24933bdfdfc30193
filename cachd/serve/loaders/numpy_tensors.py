"""safetensors as numpy arrays, without a copy."""

from __future__ import annotations

from cachd.serve.errors import WeightsRefused
from cachd.serve.loaders.required import required
from cachd.serve.loaders.tensor_files import tensors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cachd.serve.version import Version, View

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "C64": "<c8", "BOOL": "?",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip
# numpy has none of these; ml_dtypes adds them to it.
_ML_DTYPES = {
    "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip


def safetensors_numpy(
    v: Version | View[Any], name: str | None = None, *, writable: bool = False
) -> dict[str, Any]:
    """Tensor name -> array over the version's pages.

    `name`: the file, or the index of a sharded model; needed only where a version has several.
    Arrays are read-only (numpy raises ValueError on a write). With `writable` they are not: a page
    that is written to becomes this process's own, and the version stays as it is. A tensor that
    does not begin at a multiple of its item's size is copied.
    LibraryMissing, WeightsRefused, FileRefused."""
    np = required("numpy", "numpy", "safetensors_numpy")
    made = {}
    for file, place, path in tensors(v, name, private=writable):
        dtype = _dtype(np, place.dtype, place.name, path)
        if place.start % dtype.itemsize:
            array = np.frombuffer(bytearray(file[place.start : place.end]), dtype)
            array.flags.writeable = writable
        else:
            array = np.frombuffer(file, dtype, place.count, place.start)
        made[place.name] = array.reshape(place.shape)
    return made


def _dtype(np: Any, dtype: str, tensor: str, path: str) -> Any:
    if dtype in _DTYPES:
        return np.dtype(_DTYPES[dtype])
    if dtype not in _ML_DTYPES:
        raise WeightsRefused(f"tensor {tensor!r:.80} of {path} is {dtype}, which numpy cannot hold")
    ml_dtypes = required(
        "ml_dtypes", "ml_dtypes", f"{dtype} (tensor {tensor!r:.80} of {path}) in safetensors_numpy"
    )
    return np.dtype(getattr(ml_dtypes, _ML_DTYPES[dtype]))
