"""The words about how far a prediction may be trusted."""

from __future__ import annotations

import pytest

from napari_semiseg.engine.review.trust import Ingredient, Trust
from napari_semiseg.gui.review.trust_panel import MOST_REASONS, trust_words


def trust(reasons):
    against = [Ingredient("size", 1, 9.0, 3.0, 0.3, f"reason {i}") for i in range(reasons)]
    usual = Ingredient("pieces", 1, 1.0, 3.0, 1.0, "as usual")
    return Trust(0.414, {1: 0.414}, (*against, usual))


@pytest.mark.parametrize(
    ("reasons", "last"),
    [(1, "• Reason 0."), (MOST_REASONS, "• Reason 1."), (5, "• 3 more, less grave.")],
)
def test_only_the_gravest_reasons_are_spelled_out(reasons, last):
    lines = trust_words(trust(reasons)).splitlines()
    assert lines[:2] == ["Trust 41 %:", "• Reason 0."]
    assert lines[-1] == last
    assert len(lines) <= MOST_REASONS + 2


def test_without_reasons_it_says_that_nothing_is_unusual():
    words = trust_words(trust(0))
    assert words.startswith("Trust 41 %: nothing")
    assert "as usual" not in words
