"""What kind of file a model's file is, by its name and, where that says little, its content. Pure.

`pickle` is what matters most: its loaders run code that the file brings, so policies refuse it
unless they say otherwise. It hides under many names (`.bin`, `.model`, none), so a name is only
believed where whoever loads such a file would not unpickle it.
"""

from __future__ import annotations

import pickletools
import re

PICKLE, OTHER, UNEXAMINED = "pickle", "other", "unexamined"
HEAD_BYTES_MIN = 512
"""With less of a file than this, `format_of_content` may take a pickle for something else."""

_EXTENSIONS = {
    "safetensors": "safetensors", "gguf": "gguf", "onnx": "onnx", "h5": "hdf5", "keras": "keras",
    "tflite": "tflite", "pb": "protobuf", "json": "json", "jsonl": "json", "txt": "text",
    "md": "text", "yaml": "yaml", "yml": "yaml", "toml": "toml", "csv": "text", "jinja": "text",
    "py": "python", "so": "native-code", "engine": "tensorrt", "plan": "tensorrt",
    "ubj": "xgboost", "cbm": "catboost", "parquet": "parquet",
}  # fmt: skip
_PICKLE_EXTENSIONS = frozenset({"pkl", "pickle", "pt", "pth", "ckpt", "joblib", "dill", "mar"})
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"GGUF", "gguf"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x93NUMPY", "numpy"),
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\x7fELF", "native-code"),
)
_PROTO = re.compile(rb"\x80[\x02-\x05]")  # protocol 2 and up begin with it
_STEPS_MIN = 4  # that noise seldom makes
_ZIP = b"PK\x03\x04"
_IN_TORCH_ZIP = re.compile(rb"(?:^|/)(?:data\.pkl|\.format_version|\.data/|byteorder)")


def format_of_name(path: str) -> str | None:
    """The format of the file at `path` if its name is enough to tell; a lower-case word."""
    _, dot, extension = path.rpartition("/")[2].lower().rpartition(".")
    if not dot:
        return None
    return PICKLE if extension in _PICKLE_EXTENSIONS else _EXTENSIONS.get(extension)


def format_of_content(head: bytes | memoryview) -> str:
    """The format of a file that begins with `head`; OTHER if nothing is known of it."""
    head = bytes(head[:HEAD_BYTES_MIN])
    if _reads_as_pickle(head):
        return PICKLE
    if head.startswith(_ZIP):
        # The first local header holds a name; torch.save puts `NAME/data.pkl` there.
        length = int.from_bytes(head[26:28], "little")
        return PICKLE if _IN_TORCH_ZIP.search(head[30 : 30 + length]) else "zip"
    return next((name for magic, name in _MAGIC if head.startswith(magic)), OTHER)


def _reads_as_pickle(head: bytes) -> bool:
    """Whether pickle's machine could run `head`: to its STOP, or to where a long file is cut."""
    steps, depths = 0, [0]  # values on the stack above each mark
    try:
        for opcode, _, _ in pickletools.genops(head):
            taken = opcode.stack_before
            if pickletools.markobject in taken:
                if len(depths) == 1:
                    return False
                depths.pop()
                taken = taken[: taken.index(pickletools.markobject)]
            depths[-1] -= len(taken)
            if depths[-1] < 0:
                return False
            if opcode.name == "MARK":
                depths.append(0)
            else:
                depths[-1] += len(opcode.stack_after)
            steps += 1
    except ValueError as error:
        cut_off = len(head) == HEAD_BYTES_MIN and "unknown" not in str(error)
        return cut_off and steps >= (1 if _PROTO.match(head) else _STEPS_MIN)
    except (OverflowError, UnicodeError, IndexError):
        return False  # operands that no pickle has
    return steps > 1  # STOP alone gives nothing
