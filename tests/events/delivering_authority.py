"""An authority that loses its patience with receivers sooner than the real one.

    python -m tests.events.delivering_authority HOME PORT '{"retry_s_max": 0.1}' [NATS_URL]

The first line of output says where it serves.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cachd.authority.daemon import Authority
from cachd.authority.delivery.settings import DeliverySettings, NatsSettings
from cachd.listen import Address
from cachd.logs import configure_logs
from cachd.running import run


def main(home: str, port: str, settings: str, nats: str = "") -> None:
    configure_logs("info")
    run(
        lambda: Authority(
            Path(home), Address("127.0.0.1", int(port)),
            delivery=DeliverySettings(**json.loads(settings)),
            nats=NatsSettings(nats) if nats else None,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
