"""Where the voxels of a label come from, on arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_semiseg.engine.study.labels.provenance import (
    HUMAN,
    MOST_RUNS,
    NOBODY,
    REJECTED,
    UNKNOWN,
    Provenance,
    accepted_provenance,
    human_provenance,
    merge_accepted,
    note_edits,
    note_rejection,
    started_provenance,
    unknown_provenance,
)

SHAPE = (3, 4, 5)
labels = arrays.arrays(np.uint8, SHAPE, elements=st.integers(0, 3))
masks = arrays.arrays(bool, SHAPE)


@given(labels, labels, masks)
def test_accepting_fills_what_is_open_and_changes_nothing_that_a_person_said(
    label, prediction, mask
):
    before = human_provenance(label)
    merged, after = merge_accepted(label, prediction, mask, before, "003-ua-mt")
    human = label != 0
    assert (merged[human] == label[human]).all()
    assert (after.codes[human] == HUMAN).all()
    accepted = mask & ~human
    assert (merged[accepted] == prediction[accepted]).all()
    assert (after.codes[accepted] == 2).all()
    untouched = ~mask & ~human
    assert (merged[untouched] == 0).all()
    assert (after.codes[untouched] == NOBODY).all()
    assert (after.decided == (human | mask)).all()


@given(labels, labels, masks)
def test_accepting_twice_changes_nothing_more(label, prediction, mask):
    once = merge_accepted(label, prediction, mask, human_provenance(label), "003-ua-mt")
    twice = merge_accepted(once[0], prediction, mask, once[1], "003-ua-mt")
    assert (once[0] == twice[0]).all()
    assert (once[1].codes == twice[1].codes).all()
    assert once[1].runs == twice[1].runs


@given(labels, labels, masks)
def test_what_a_person_edits_is_theirs_and_stays_so(label, edited, mask):
    start = Provenance(np.zeros(SHAPE, np.uint8))
    accepted, provenance = merge_accepted(np.zeros_like(label), label, mask, start, "001-dtc")
    noted = note_edits(accepted, edited, provenance)
    changed = accepted != edited
    assert (noted.codes[changed] == HUMAN).all()
    assert (noted.codes[~changed] == provenance.codes[~changed]).all()
    later, _ = merge_accepted(edited, label, np.ones(SHAPE, bool), noted, "002-dtc")
    assert (later[changed] == edited[changed]).all()


@given(labels, masks, masks)
def test_what_is_rejected_is_undecided_and_closed_to_its_run_alone(label, first, second):
    once = note_rejection(first, human_provenance(label), "001-a")
    rejected = first & (label == 0)
    assert ((once.codes == REJECTED) == rejected).all()
    assert (once.decided == (label != 0)).all()
    assert (once.open_to("001-a") == ((label == 0) & ~first)).all()
    assert (once.open_to("002-b") == (label == 0)).all()
    other = note_rejection(second, once, "002-b")
    assert ((other.codes == REJECTED) == (second & (label == 0))).all()
    assert other.rejected_run == "002-b"


def test_voxels_of_several_runs_are_told_apart_by_class():
    label, prediction = np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)
    label[2] = 3
    first = np.zeros(SHAPE, bool)
    first[0] = True
    label, provenance = merge_accepted(label, prediction, first, human_provenance(label), "001-a")
    label, provenance = merge_accepted(label, 2 * prediction, ~first, provenance, "002-b")
    assert provenance.runs == ("001-a", "002-b")
    assert provenance.voxels_by_class(label) == {
        1: {"001-a": 20},
        2: {"002-b": 20},
        3: {"human": 20},
    }


def test_a_second_run_does_not_replace_what_was_accepted_from_the_first():
    label, everywhere = np.zeros(SHAPE, np.uint8), np.ones(SHAPE, bool)
    once = merge_accepted(label, label + 1, everywhere, human_provenance(label), "001-a")
    merged, provenance = merge_accepted(once[0], label + 2, everywhere, once[1], "002-b")
    assert (merged == 1).all()
    assert provenance.runs == ("001-a",)


def test_whole_labels_say_what_they_are():
    label = np.zeros(SHAPE, np.uint8)
    label[0] = 1
    assert human_provenance(label).voxels_by_class(label) == {1: {"human": 20}}
    assert unknown_provenance(label).voxels_by_class(label) == {1: {"unknown": 20}}
    assert accepted_provenance(label, None).voxels_by_class(label) == {1: {"unknown": 20}}
    assert accepted_provenance(label, "001-a").decided.all()
    started = started_provenance(label, "001-a")
    assert started.voxels_by_class(label) == {1: {"001-a": 20}}
    assert (started.decided == (label == 1)).all()


def test_arrays_of_other_shapes_are_refused():
    label = np.zeros(SHAPE, np.uint8)
    with pytest.raises(ValueError, match="shape"):
        merge_accepted(label, label[1:], label > 0, human_provenance(label), "001-a")


def test_no_more_runs_than_the_codes_can_name():
    label = np.zeros(SHAPE, np.uint8)
    full = Provenance(label, tuple(f"{index:03d}-a" for index in range(MOST_RUNS)))
    with pytest.raises(ValueError, match="252"):
        merge_accepted(label, label, label == 0, full, "252-a")
    assert merge_accepted(label, label, label == 0, full, "251-a")[1].codes.max() == UNKNOWN - 1


def test_what_is_kept_beside_the_codes_comes_back():
    there = Provenance(np.zeros(SHAPE, np.uint8), ("001-a", "002-b"), "002-b")
    back = Provenance.from_attributes(there.codes, there.to_attributes())
    assert (back.runs, back.rejected_run) == (there.runs, there.rejected_run)
