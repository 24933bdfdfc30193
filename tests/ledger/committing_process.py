"""Promotes one version after another in argv[1]; prints each acknowledged generation."""

from __future__ import annotations

import sys

import registry_core


def main() -> None:
    with registry_core.open(sys.argv[1], holder="the committing process") as registry:
        known = registry.stages("m")
        number = known[0].in_force.number if known else 2
        while True:
            number = 3 - number
            moved = registry.promote("m@production", number)
            print(moved.generation, flush=True)


if __name__ == "__main__":
    main()
