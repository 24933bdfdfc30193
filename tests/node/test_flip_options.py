from __future__ import annotations

import os

import pytest

from cachd.node.flip_options import FlipRulesByStage
from cachd.serve.flip_policy import FlipPolicy
from cachd.serve.flip_rules import FlipRules
from registry_core.errors import InvalidInput


def test_rules_by_stage() -> None:
    rules = FlipRulesByStage.parse(
        policy=["llm-*@staging=quorum:80%", "llm-*@*=timeout", "all"],
        ready_timeout_s=["30", "llm-*@*=900"],
        warm_spread_s=["*@production=120"],
        load_at_once=["3", "llm-*@*=all"],
    )
    found = {
        ref: rules.of(*ref.split("@"), host="n1")
        for ref in ("llm-7b@staging", "llm-7b@production", "fraud@production")
    }
    quorum = FlipPolicy.parse("quorum:0.8")
    assert found == {
        "llm-7b@staging": FlipRules(quorum, 900.0, 0.0, 0, "n1"),
        "llm-7b@production": FlipRules(FlipPolicy("timeout"), 900.0, 120.0, 0, "n1"),
        "fraud@production": FlipRules(FlipPolicy("all"), 30.0, 120.0, 3, "n1"),
    }
    quarter = max(1, len(os.sched_getaffinity(0)) // 4)
    assert FlipRulesByStage.parse().of("m", "s", host="") == FlipRules(load_at_once=quarter)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"policy": ["most"]}, "--flip-policy: 'most' is no flip policy: all"),
        ({"policy": ["m=all"]}, "'m' is not NAME@STAGE"),
        ({"policy": ["all", "timeout"]}, "'NAME@STAGE=timeout'"),
        ({"ready_timeout_s": ["0"]}, "--ready-timeout-s: '0' is no number of seconds from 0.1"),
        ({"ready_timeout_s": ["nan"]}, "'nan' is no number"),
        ({"ready_timeout_s": ["m@s=soon"]}, "'soon' is no number"),
        ({"warm_spread_s": ["3601"]}, "from 0 to 3600"),
        ({"load_at_once": ["0"]}, "--load-at-once: '0' is no number of workers: 1 to 4096, or all"),
        ({"load_at_once": ["4097"]}, "1 to 4096"),
        ({"load_at_once": ["m@s=-1"]}, "'-1' is no number"),
    ],
)
def test_what_is_wrong_is_named(options: dict[str, list[str]], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        FlipRulesByStage.parse(**options)
    assert said in str(caught.value)
