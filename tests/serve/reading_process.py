"""A worker that reads its first version slowly: `python -m tests.serve.reading_process SOCKET`.

On `step` it answers with the next 512 bytes of that version, on `serves` with the number that
`acquire()` gives by now; on `drop` it lets go of the first version.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from cachd.serve.client import attach
from tests.serve.rig import MODEL

STEP = 512


def main(socket_path: str) -> None:
    model = attach(MODEL, load=lambda version: version.number, socket=socket_path)
    first: Any = model.acquire()
    data: Any = first.buffer("onnx/weights.bin")
    digest: Any = first.buffer("digest.txt")
    at = 0
    print(json.dumps("holding"))
    for line in sys.stdin:
        asked = json.loads(line)
        answer: object = "done"
        if asked == "step":
            answer = [bytes(data[at : at + STEP]).hex(), bytes(digest).hex()]
            at += STEP
        elif asked == "serves":
            answer = model.acquire().number
        else:
            first = data = digest = None
        print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
