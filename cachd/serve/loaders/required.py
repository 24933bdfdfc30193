"""Libraries that a loader needs and cachd does not."""

from __future__ import annotations

from cachd.serve.errors import LibraryMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def required(module: str, package: str, loader: str) -> Any:
    """The module. LibraryMissing if it is not installed; what else fails in it passes through."""
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # it is there, and lacks something itself
        raise LibraryMissing(
            f"{loader} needs {module}, which is not installed here: pip install {package}",
            name=error.name,
        ) from error
