from __future__ import annotations

from collections import Counter

import pytest

from napari_semiseg.engine.methods.ideas import FOR_COMPARISONS, OTHER, STEADIER_COPY, Idea
from napari_semiseg.engine.methods.registry import BUILT_IN
from napari_semiseg.gui.train.method_shelf import (
    RECOMMENDED,
    cost_in_words,
    first_key,
    maps_in_words,
    own_maps,
    paper_of,
    shelves,
)

METHODS = {method.key: method for method in BUILT_IN}


def found(wanted="", methods=METHODS):
    return {shelf.idea: shelf.keys for shelf in shelves(methods, wanted)}


def test_every_built_in_method_stands_on_exactly_one_shelf():
    standing = {idea: keys for idea, keys in found().items() if idea != RECOMMENDED}
    assert Counter(key for keys in standing.values() for key in keys) == Counter(METHODS.keys())
    assert OTHER not in standing


def test_the_recommended_come_first_and_the_oracle_last():
    everything = found()
    assert next(iter(everything)) == RECOMMENDED
    assert "supervised" in everything[RECOMMENDED]
    assert everything[FOR_COMPARISONS] == ("oracle-size",)
    assert list(everything)[-1] == FOR_COMPARISONS
    assert OTHER not in everything
    assert set(everything[RECOMMENDED]) == {"supervised", "ua-mt", "fixmatch", "mc-net-plus"}


def test_a_method_of_another_package_has_its_place():
    class Other(METHODS["supervised"]):
        key = "other"
        idea = OTHER

    class Derived(METHODS["ua-mt"]):
        key = "derived"

    shown = found(methods=METHODS | {"other": Other, "derived": Derived})
    assert shown[OTHER] == ("other",)
    assert "derived" in shown[STEADIER_COPY]
    assert "derived" not in shown[RECOMMENDED]
    assert list(shown)[-1] == FOR_COMPARISONS


def test_one_method_with_an_idea_of_its_own_has_a_shelf_of_its_own():
    class New(METHODS["supervised"]):
        key = "new"
        idea = Idea("Diffusion", "Scans are made up.")

    shown = found(methods=METHODS | {"new": New})
    assert shown[New.idea] == ("new",)
    assert list(shown)[-1] == FOR_COMPARISONS
    assert found("diffusion", METHODS | {"new": New}) == {New.idea: ("new",)}


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        ("ua-mt", {"ua-mt"}),
        ("2021 pyramid", {"urpc"}),
        ("KERVADEC oracle", {"oracle-size"}),
        ("clin hand-drawn", set()),
        ("looks hand-drawn", {"asdnet"}),
        ("nothing like this", set()),
    ],
)
def test_a_search_finds_all_its_words_anywhere(wanted, keys):
    hits = found(wanted)
    assert {key for shelf in hits.values() for key in shelf} == keys
    assert RECOMMENDED not in hits


def test_cost_and_maps_are_words():
    assert cost_in_words(METHODS["ua-mt"]) == "about 2.5 × a supervised step"
    assert cost_in_words(METHODS["dtc"]) == "about as long as a supervised step"
    assert maps_in_words(METHODS["supervised"]).endswith("similarity.")
    assert own_maps(METHODS["dtc"])[0] in maps_in_words(METHODS["dtc"])


def test_papers_have_few_authors():
    assert paper_of(METHODS["umct"]).startswith("Xia et al.: ")
    assert paper_of(METHODS["mean-teacher"]).startswith("Tarvainen, Valpola: ")


def test_the_default_is_taken_where_it_is_there():
    assert first_key(METHODS, "dtc") == "dtc"
    assert first_key({"a": 1}, "dtc") == "a"
    assert first_key({}, "dtc") is None
