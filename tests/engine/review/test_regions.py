"""Regions of an answer, and what becomes of accepted voxels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_semiseg.engine.review.regions import (
    Provenance,
    find_regions,
    human_provenance,
    merge_accepted,
    note_edits,
    withdraw_run,
)
from napari_semiseg.engine.volumes import Geometry

SHAPE = (6, 8, 9)
GRID = Geometry(SHAPE, np.diag([1.0, 1.0, 2.0, 1.0]), None)


def two_classes():
    prediction = np.zeros(SHAPE, np.uint8)
    prediction[1:3, 1:3, 1:3] = 2
    prediction[4, 5:8, 5:8] = 2
    prediction[0:2, 6, 7] = 1
    return prediction


def test_regions_are_listed_by_class_and_size():
    regions = find_regions(two_classes(), GRID, [2, 1])
    found = [(each.number, each.class_value, each.component) for each in regions.table]
    assert found == [(1, 1, 1), (2, 2, 1), (3, 2, 2)]
    assert [each.size_ml for each in regions.table] == pytest.approx([0.004, 0.018, 0.016])
    assert regions.table[2].box == (slice(1, 3), slice(1, 3), slice(1, 3))
    assert regions.table[1].centre == (4, 6, 6)
    assert regions.table[0].certainty is None


def test_the_mask_of_a_region_is_its_voxels():
    prediction = two_classes()
    regions = find_regions(prediction, GRID, [1, 2])
    assert (regions.mask([1, 2, 3]) == (prediction > 0)).all()
    assert regions.mask([3]).sum() == 8
    assert not regions.mask([]).any()
    assert regions.at((1, 1, 1)).number == 3
    assert regions.at((5, 0, 0)) is None


def test_regions_above_a_certainty_are_split_and_described_by_what_is_certain():
    prediction = np.zeros(SHAPE, np.uint8)
    prediction[2, 2, 1:8] = 1
    uncertainty = np.full(SHAPE, 0.1, np.float32)
    uncertainty[2, 2, 3] = 0.8
    whole = find_regions(prediction, GRID, [1], uncertainty=uncertainty)
    assert whole.table[0].certainty == pytest.approx(1 - (6 * 0.1 + 0.8) / 7)
    certain = find_regions(prediction, GRID, [1], uncertainty=uncertainty, least_certainty=0.85)
    assert [round(each.size_ml * 500) for each in certain.table] == [4, 2]
    assert all(each.certainty == pytest.approx(0.9) for each in certain.table)


def test_small_regions_can_be_left_out():
    regions = find_regions(two_classes(), GRID, [1, 2], smallest_ml=0.017)
    assert [each.class_value for each in regions.table] == [2]
    assert regions.mask([1]).sum() == 9


def test_a_certainty_wants_a_map():
    with pytest.raises(ValueError, match="uncertainty"):
        find_regions(two_classes(), GRID, [1], least_certainty=0.5)


def test_an_empty_answer_has_no_region():
    assert find_regions(np.zeros(SHAPE, np.uint8), GRID, [1, 2]).table == ()


small = (3, 4, 5)
labels = arrays.arrays(np.uint8, small, elements=st.integers(0, 3))
masks = arrays.arrays(bool, small)


@given(labels, labels, masks, masks)
def test_accepting_never_changes_what_a_person_said(label, prediction, mask, looked_at):
    before = human_provenance(label, looked_at)
    merged, after = merge_accepted(label, prediction, mask, before, "003-ua-mt")
    human = before.codes == 1
    assert (merged[human] == label[human]).all()
    assert (after.codes[human] == 1).all()
    accepted = mask & ~human
    assert (merged[accepted] == prediction[accepted]).all()
    assert (after.codes[accepted] == 2).all()
    untouched = ~mask & ~human
    assert (merged[untouched] == label[untouched]).all()
    assert (after.codes[untouched] == 0).all()


@given(labels, labels, masks)
def test_accepting_twice_changes_nothing_more(label, prediction, mask):
    once = merge_accepted(label, prediction, mask, human_provenance(label), "003-ua-mt")
    twice = merge_accepted(once[0], prediction, mask, once[1], "003-ua-mt")
    assert (once[0] == twice[0]).all()
    assert (once[1].codes == twice[1].codes).all()
    assert once[1].runs == twice[1].runs


@given(labels, labels, masks)
def test_withdrawing_a_run_brings_the_label_of_the_person_back(label, prediction, mask):
    before = human_provenance(label)
    merged, after = merge_accepted(label, prediction, mask, before, "003-ua-mt")
    back, provenance = withdraw_run(merged, after, ["003-ua-mt"])
    assert (back == label).all()
    assert (provenance.codes == before.codes).all()


@given(labels, labels, masks)
def test_what_a_person_edits_is_theirs_and_stays_so(label, edited, mask):
    start = Provenance(np.zeros(small, np.uint8))
    accepted, provenance = merge_accepted(np.zeros_like(label), label, mask, start, "001-dtc")
    noted = note_edits(accepted, edited, provenance)
    assert (noted.codes[accepted != edited] == 1).all()
    later, _ = merge_accepted(edited, label, np.ones(small, bool), noted, "002-dtc")
    changed = accepted != edited
    assert (later[changed] == edited[changed]).all()


def test_a_later_run_takes_the_voxels_of_an_earlier_one():
    label, prediction = np.zeros(small, np.uint8), np.ones(small, np.uint8)
    half = np.zeros(small, bool)
    half[0] = True
    label, provenance = merge_accepted(label, prediction, ~half, human_provenance(label), "001-a")
    label, provenance = merge_accepted(label, 2 * prediction, label > -1, provenance, "002-b")
    assert provenance.runs == ("001-a", "002-b")
    assert provenance.voxels_by_source() == {"human": 0, "001-a": 0, "002-b": 60}
    assert (label == 2).all()


def test_accepting_nothing_names_no_run():
    label = np.ones(small, np.uint8)
    merged, provenance = merge_accepted(
        label, label, np.ones(small, bool), human_provenance(label), "001-a"
    )
    assert provenance.runs == ()
    assert merged is not label


def test_a_finished_label_is_human_in_its_background_too():
    label = np.zeros(small, np.uint8)
    assert human_provenance(label, True).voxels_by_source() == {"human": 60}
    assert human_provenance(label).voxels_by_source() == {"human": 0}


def test_arrays_of_other_shapes_are_refused():
    label = np.zeros(small, np.uint8)
    with pytest.raises(ValueError, match="shape"):
        merge_accepted(label, label[1:], label > 0, human_provenance(label), "001-a")


def test_no_more_runs_than_the_codes_can_name():
    label = np.zeros(small, np.uint8)
    full = Provenance(label, tuple(f"{index:03d}-a" for index in range(254)))
    with pytest.raises(ValueError, match="254"):
        merge_accepted(label, label, label == 0, full, "254-a")
    assert merge_accepted(label, label, label == 0, full, "253-a")[1].codes.max() == 255
