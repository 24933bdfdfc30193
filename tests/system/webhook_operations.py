"""Webhooks over the API; tests/events has receivers that fail."""

from __future__ import annotations

from tests.events.receiver import OK, receiving
from tests.system.api import Api
from tests.system.rig import Rig, eventually

HOOK = "/v1/webhooks/deploys"


def exercise(api: Api, rig: Rig) -> None:
    with receiving(lambda got: (410, {})) as receiver:
        made = api.call(
            "POST", "/v1/webhooks", {"name": "deploys", "url": receiver.url, "start": 0}
        )[1]
        eventually(lambda: not api.call("GET", HOOK)[1]["enabled"])
        receiver.reply = lambda got: OK
        assert api.call("POST", f"{HOOK}/test")[1]["status"] == 200
        assert receiver.got[-1].verified(made["secret"])["type"] == "io.cachd.webhook.test"
        assert api.call("POST", f"{HOOK}/secret", {"secret": made["secret"]})[0] == 200
        assert api.call("POST", f"{HOOK}/enable")[1]["disabled_because"] == ""
        listed = api.call("GET", "/v1/webhooks")[1]
        eventually(lambda: api.call("GET", HOOK)[1]["cursor"] == listed["log_entries"])
        tried = api.call("GET", f"{HOOK}/deliveries")[1]["deliveries"]
        assert tried[-1]["outcome"] == "disabled"
        assert api.call("GET", f"{HOOK}/dead-letters")[1] == {"dead_letters": []}
        assert api.call("POST", f"{HOOK}/dead-letters/1/redelivery")[0] == 404
        assert api.call("DELETE", HOOK)[0] == 200
        assert api.call("GET", HOOK)[0] == 404
