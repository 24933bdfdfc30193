"""Copies all versions to a region, over and over, until it has copied enough or is told to stop.

    python -m tests.replicate.copying_process URL KEYS REGION

Says at the end what it did. After each version that was copied the recorded copy is read, every
byte, unless the version was deleted meanwhile.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from pathlib import Path

from cachd.control.remote import connect
from registry_core.domain.identifiers import ModelName
from registry_core.trust.keys import Keyring
from registry_core.verify import verify_versions

_ENOUGH = 30


def main(url: str, keys: str, region: str) -> None:
    done, stop = Counter[str](), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    with connect(url, Keyring(Path(keys)), "copying") as registry:
        policy, origin = registry.control.policy(), registry.regions.origin(region)
        while not stop.is_set() and done["copied"] < _ENOUGH:
            for one in registry.replicate(to=region):
                if one.problem:
                    done[_kind(one.problem)] += 1
                    continue
                done["copied" if one.bytes_copied else "there"] += 1
                problems = verify_versions(origin, policy, [one.version], deep=True).problems
                model, number = ModelName(one.version.model), one.version.number
                known = {version.number for version in registry.versions(model.text)}
                if problems and number in known:
                    raise AssertionError(problems)
    print(json.dumps(done), flush=True)


def _kind(problem: str) -> str:
    """Which refusal it is, without names."""
    return " ".join(word for word in problem.split() if word.isalpha())


if __name__ == "__main__":
    main(*sys.argv[1:])
