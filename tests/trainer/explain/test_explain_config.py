"""The section [explain] refuses what it cannot do."""

from __future__ import annotations

import pytest

from dualtower_trainer.explain.explanation import ExplainConfig


@pytest.mark.parametrize("name", ["exact_items", "item_blocks", "word_items", "seed"])
def test_a_negative_number_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must .*, got -1"):
        ExplainConfig(**{name: -1})
