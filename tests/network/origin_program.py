"""A web server with ranges, as an origin on a host of the lab: `… HOST PORT FOLDER`."""

from __future__ import annotations

import sys

from aiohttp import web

if __name__ == "__main__":
    host, port, folder = sys.argv[1:]
    app = web.Application()
    app.router.add_static("/origin", folder)
    web.run_app(app, host=host, port=int(port), print=lambda *_: print("ready", flush=True))
