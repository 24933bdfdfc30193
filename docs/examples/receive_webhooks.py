"""Receive webhooks of a registry: check who sends, do something once, answer.

    pip install standardwebhooks
    python receive_webhooks.py 9000 whsec_…

Any answer of 2xx says that the event is dealt with. It may come again (after a crash of either
side), with the same `webhook-id`: remember those you have seen.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

PORT, SECRET = int(sys.argv[1]), sys.argv[2]
seen: set[str] = set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            event = Webhook(SECRET).verify(body, dict(self.headers.items()))
        except WebhookVerificationError as error:
            self.send_error(401, str(error))
            return
        if self.headers["webhook-id"] not in seen:
            print(event["type"], event["subject"], flush=True)
            seen.add(self.headers["webhook-id"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as inherited
        """Quiet."""


HTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
