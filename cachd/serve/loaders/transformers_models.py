"""Models of transformers, from the version's directory."""

from __future__ import annotations

import os

from cachd.serve.errors import WeightsRefused
from cachd.serve.loaders.held_while import held_while
from cachd.serve.loaders.required import required

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cachd.serve.version import Version, View


def transformers_model(
    v: Version | View[Any], cls: Any = None, *, folder: str = "", **options: Any
) -> Any:
    """`cls.from_pretrained` on the version; by default AutoModel. Nothing is asked of the network.

    `cls` is a class of transformers (a tokenizer, too) or its name, `options` go to
    from_pretrained; `folder`: where in the version it lies. On the CPU and in the type of the file,
    transformers maps the weights and copies a page only when it is written to.
    LibraryMissing, WeightsRefused."""
    transformers = required("transformers", "transformers", "transformers_model")
    if not isinstance(cls, type):
        required("torch", "torch", "transformers_model")
        cls = getattr(transformers, cls or "AutoModel")
    path = os.path.join(v.path, *folder.split("/")) if folder else v.path
    if not os.path.isdir(path):
        raise WeightsRefused(
            f"{path} is not visible in this process, which transformers needs: name a folder of "
            "the version, and mount the node's cache at the same path here"
        )
    options.setdefault("local_files_only", True)
    return held_while(cls.from_pretrained(path, **options), v)
