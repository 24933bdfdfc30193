"""safetensors as torch tensors on the CPU, without a copy.

Each tensor has a storage of its own over the mapped file, so that saving or sharing one does not
take the whole file along, and no two look tied to each other.
"""

from __future__ import annotations

from cachd.serve.errors import WeightsRefused
from cachd.serve.loaders.required import required
from cachd.serve.loaders.tensor_files import tensors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cachd.serve.version import Version, View

# Bytes of an item, and what torch calls the type.
_DTYPES = {
    "F64": (8, "float64"), "F32": (4, "float32"), "F16": (2, "float16"), "BF16": (2, "bfloat16"),
    "I64": (8, "int64"), "I32": (4, "int32"), "I16": (2, "int16"), "I8": (1, "int8"),
    "U64": (8, "uint64"), "U32": (4, "uint32"), "U16": (2, "uint16"), "U8": (1, "uint8"),
    "BOOL": (1, "bool"), "C64": (8, "complex64"), "F8_E4M3": (1, "float8_e4m3fn"),
    "F8_E5M2": (1, "float8_e5m2"), "F8_E8M0": (1, "float8_e8m0fnu"),
    "F8_E4M3FNUZ": (1, "float8_e4m3fnuz"), "F8_E5M2FNUZ": (1, "float8_e5m2fnuz"),
}  # fmt: skip


def safetensors_torch(
    v: Version | View[Any], name: str | None = None, *, writable: bool = False
) -> dict[str, Any]:
    """Tensor name -> tensor on the CPU over the version's pages; `.to("cuda")` copies from there.

    `name`: the file, or the index of a sharded model; needed only where a version has several.
    torch knows no read-only tensors: a write in place into one of these (`add_`, `copy_`, training)
    ends the process with SIGSEGV, as the pages are read-only. `clone()` what is to change, or say
    `writable`: then a page that is written to becomes this process's own, and the version stays as
    it is. A tensor that does not begin at a multiple of its item's size is copied.
    LibraryMissing, WeightsRefused, FileRefused."""
    torch = required("torch", "torch", "safetensors_torch")
    if not writable:
        _accept_read_only(torch)
    made = {}
    for file, place, path in tensors(v, name, private=writable):
        size, called = _DTYPES.get(place.dtype, (1, ""))
        dtype = getattr(torch, called, None) if called else None
        if dtype is None:
            raise WeightsRefused(
                f"tensor {place.name!r:.80} of {path} is {place.dtype}, which torch "
                f"{torch.__version__} cannot hold"
            )
        if not place.count:
            flat = torch.empty(0, dtype=dtype)
        elif place.start % size:
            flat = torch.frombuffer(bytearray(file[place.start : place.end]), dtype=dtype)
        else:
            flat = torch.frombuffer(file, dtype=dtype, count=place.count, offset=place.start)
        made[place.name] = flat.view(place.shape)
    return made


def _accept_read_only(torch: Any) -> None:
    """torch warns, once in a process, of a buffer that is not writable; what it warns of is said
    above."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        torch.frombuffer(b"\0", dtype=torch.uint8)
