from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies

from cachd.serve.names import is_name
from registry_core.domain.identifiers import ModelName
from registry_core.errors import InvalidIdentifier


@hypothesis.given(strategies.text("abz019._-/A \n", max_size=8) | strategies.text(max_size=3))
@hypothesis.example("a" * 128)
@hypothesis.example("a" * 129)
def test_the_rule_is_the_registrys(text: str) -> None:
    if is_name(text):
        ModelName.parse(text)
    else:
        with pytest.raises(InvalidIdentifier):
            ModelName.parse(text)
