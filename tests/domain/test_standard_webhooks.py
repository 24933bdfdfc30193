"""Signatures of webhooks: golden vectors, a stock verifier, and secrets that stay secret."""

from __future__ import annotations

import os
import time
from base64 import b64encode

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from registry_core.domain.standard_webhooks import Secret, signature_headers
from registry_core.domain.webhook_url import WebhookUrl
from registry_core.errors import InvalidInput

GOLDEN = Secret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
OTHER = Secret(bytes(range(24)))


def test_golden() -> None:
    headers = signature_headers(
        [GOLDEN], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    both = signature_headers([GOLDEN, OTHER], "ab-7", 1700000000, "{}ü".encode())
    assert both["webhook-signature"] == (
        "v1,xi6e/rMbIwst8WFahV8MbDA1fyvyVuTFPzxVuHMaok4= "
        "v1,3U2uDEhzEXc4yZOdfDvLUr6KLMdLoPAPuz6N8RJcZgs="
    )


def test_a_stock_consumer_accepts_them() -> None:
    secret, body = Secret(os.urandom(64)), b'{"n": 1}'
    headers = signature_headers([OTHER, secret], "ab-1", int(time.time()), body)
    assert Webhook(secret.text).verify(body, headers) == {"n": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret.text).verify(b'{"n": 2}', headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret.text).verify(body, headers | {"webhook-id": "ab-2"})


def test_secrets() -> None:
    assert Secret.parse(OTHER.text) == OTHER
    assert OTHER.text == "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
    assert repr(OTHER) == "Secret()"
    for raw in (bytes(23), bytes(65)):
        with pytest.raises(InvalidInput, match="24 to 64"):
            Secret.parse("whsec_" + b64encode(raw).decode())
    for text in ("", "whsec_", OTHER.text[6:], "whsec_?" + OTHER.text[7:], "whsec_" + 999 * "A",
                 OTHER.text[:-1], "whsec_ü"):  # fmt: skip
        with pytest.raises(InvalidInput) as refused:
            Secret.parse(text)
        assert text[6:] not in str(refused.value) or not text[6:], "told nowhere"


def test_a_dot_in_the_id_could_move_what_is_signed() -> None:
    with pytest.raises(InvalidInput):
        signature_headers([OTHER], "a.1", 1, b"")


def test_urls() -> None:
    assert WebhookUrl.parse("https://ci.internal:8443/hook?x=1").host == "ci.internal"
    assert WebhookUrl.parse("http://[::1]:9000/").host == "::1"
    for text in ("", "ftp://a/", "http://", "http:///x", "http://a b/", "http://u:p@a/",
                 "http://a/#f", "http://a:x/", "http://a\\@b/", "http://ä/",
                 "http://a/" + 2048 * "x", "javascript:alert(1)"):  # fmt: skip
        with pytest.raises(InvalidInput, match="url"):
            WebhookUrl.parse(text)
