"""A pipeline's step: do something whenever a move was approved. Standard library only.

    python on_approved.py http://127.0.0.1:7420 [COUNT]

The consumer is durable: stop this, start it again, and it goes on where it was. What it does for an
event may happen twice (it is killed between doing and acknowledging), so it is keyed by the id.
"""

from __future__ import annotations

import json
import sys
import urllib.request

CONSUMER = "on-approved"


def ask(method: str, url: str, body: object = None) -> dict:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def main(authority: str, count: int) -> None:
    consumers = f"{authority}/v1/consumers"
    ask("POST", consumers, {"name": CONSUMER, "types": ["model.move.approved"], "start": 0})
    done = 0
    while done < count:
        batch = ask("GET", f"{consumers}/{CONSUMER}/events?wait=25")
        for event in batch["events"]:
            said = event["data"]
            print(
                f"{event['id']}: {said['actor']} approved a move of {said['model']}@{said['stage']}"
            )
            done += 1
        ask(
            "POST",
            f"{consumers}/{CONSUMER}/ack",
            {"cursor": batch["after"], "sequence": batch["next"]},
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else sys.maxsize)
