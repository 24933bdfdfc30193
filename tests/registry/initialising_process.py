"""Makes one registry after another below argv[1], until it is killed."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import registry_core


def main() -> None:
    for number in itertools.count():
        print(number, flush=True)
        registry_core.init(Path(sys.argv[1]) / str(number)).close()


if __name__ == "__main__":
    main()
