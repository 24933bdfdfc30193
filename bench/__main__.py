"""`python -m bench NAME [options]`: run one benchmark; its figures are the last line, as JSON."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path

from bench._table import is_rows, table


def names() -> list[str]:
    found = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in found if not module.name.startswith("_"))


def main(argv: list[str]) -> int:
    if not argv or argv[0] not in names():
        print(
            f"usage: python -m bench NAME [--json] [options]; NAME is one of {', '.join(names())}"
        )
        return 2
    rest = [word for word in argv[1:] if word != "--json"]
    figures = importlib.import_module(f"bench.{argv[0]}").run(rest)
    if "--json" not in argv:
        for name, value in figures.items():
            print(f"{name}:\n{table(value)}\n" if is_rows(value) else f"{name:32} {value}")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
