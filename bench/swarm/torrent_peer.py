"""A libtorrent session as a program of the bench: `python -m bench.swarm.torrent_peer CONFIG`.

Peers are told to each other at the start, so no tracker, DHT or local discovery is in the way.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import libtorrent

from bench.swarm.parts import take_part

_PORT = 6881
_TUNED = {
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "unchoke_slots_limit": -1,
    "choking_algorithm": 0,
    "connection_speed": 500,
    "max_out_request_queue": 1500,
    "max_allowed_in_request_queue": 2000,
}


def main(config: dict[str, Any]) -> None:
    settings = {
        "listen_interfaces": f"{config['host']}:{_PORT}",
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True, "alert_mask": 0,
    }  # fmt: skip
    session = libtorrent.session(settings | (_TUNED if config["tuned"] else {}))
    params = libtorrent.add_torrent_params()
    params.ti = libtorrent.torrent_info(config["torrent"])
    params.save_path = config["folder"]
    params.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
    if config["seed"]:
        params.flags |= libtorrent.torrent_flags.seed_mode
    handle = None if not config["seed"] else session.add_torrent(params)
    path = Path(config["folder"]) / config["file"]

    def bring() -> Path:
        torrent = handle or session.add_torrent(params)
        for host in config["peers"]:
            torrent.connect_peer((host, _PORT))
        while not torrent.status().is_seeding:
            time.sleep(0.005)
        return path

    take_part(bring)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
