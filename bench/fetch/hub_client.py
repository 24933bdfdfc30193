"""`huggingface_hub.snapshot_download` as a program of the bench: `python -m bench.fetch.hub_client
REPO FILE FOLDER` downloads the model, which has that file, into the folder. The environment says
where the Hub is."""

from __future__ import annotations

import sys
from pathlib import Path

from huggingface_hub import snapshot_download

from bench.swarm.parts import take_part


def main(repo: str, file: str, folder: str) -> None:
    take_part(lambda: Path(snapshot_download(repo, cache_dir=folder, token=False)) / file)


if __name__ == "__main__":
    main(*sys.argv[1:])
