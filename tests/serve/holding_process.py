"""A worker that never lets go of its first view: `python -m tests.serve.holding_process SOCKET`."""

from __future__ import annotations

import json
import sys

from cachd.serve.client import attach
from tests.serve.rig import MODEL

if __name__ == "__main__":
    model = attach(MODEL, load=lambda version: version.number, socket=sys.argv[1])
    view = model.acquire()
    print(json.dumps("holding"))
    sys.stdin.read()
