from __future__ import annotations

import gc
import weakref

import pytest

from napari_semiseg.gui.open_study import short_collections
from napari_semiseg.gui.open_study.short_collections import ShortCollections


class Node:
    """Something that only the collector can free, for it holds itself."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def collections():
    collections = ShortCollections()
    collections.begin()
    yield collections
    collections.end()


def forgotten():
    return weakref.ref(Node())


def test_what_came_before_is_passed_over_until_the_end():
    collections, before = ShortCollections(), Node()
    seen = weakref.ref(before)
    collections.begin()
    del before
    gc.collect()
    assert seen() is not None
    collections.end()
    gc.collect()
    assert seen() is None


def test_what_comes_after_is_collected(collections):
    seen = forgotten()
    gc.collect()
    assert seen() is None


def test_beginning_and_ending_twice_does_no_harm(collections):
    collections.begin()
    collections.end()
    collections.end()
    assert gc.get_freeze_count() == 0


def test_what_a_long_collection_left_is_passed_over_from_then_on(collections, monkeypatch):
    kept = [Node() for _ in range(10)]
    before = gc.get_freeze_count()
    gc.collect()
    monkeypatch.setattr(short_collections, "LONG_SECONDS", -1.0)
    gc.collect()
    assert gc.get_freeze_count() >= before + len(kept)
    assert not any(item in gc.get_objects() for item in kept)


def test_after_the_end_no_collection_is_watched():
    watching = len(gc.callbacks)
    collections = ShortCollections()
    collections.begin()
    collections.end()
    assert len(gc.callbacks) == watching
