"""Parts of an answer."""

import numpy as np
import pytest

from napari_semiseg.engine.review.parts import connected_parts
from napari_semiseg.engine.volumes import Geometry

SHAPE = (6, 8, 9)
GRID = Geometry(SHAPE, np.diag([1.0, 1.0, 2.0, 1.0]), None)


def two_classes():
    prediction = np.zeros(SHAPE, np.uint8)
    prediction[1:3, 1:3, 1:3] = 2
    prediction[4, 5:8, 5:8] = 2
    prediction[0:2, 6, 7] = 1
    return prediction


def test_parts_are_listed_by_class_and_size():
    parts = connected_parts(two_classes(), GRID, [2, 1])
    found = [(each.number, each.class_value, each.component) for each in parts.table]
    assert found == [(1, 1, 1), (2, 2, 1), (3, 2, 2)]
    assert [each.size_ml for each in parts.table] == pytest.approx([0.004, 0.018, 0.016])
    assert parts.table[2].box == (slice(1, 3), slice(1, 3), slice(1, 3))
    assert parts.table[1].centre == (4, 6, 6)
    assert parts.table[0].certainty is None


def test_the_mask_of_a_part_is_its_voxels():
    prediction = two_classes()
    parts = connected_parts(prediction, GRID, [1, 2])
    assert (parts.mask([1, 2, 3]) == (prediction > 0)).all()
    assert parts.mask([3]).sum() == 8
    assert not parts.mask([]).any()
    assert parts.at((1, 1, 1)).number == 3
    assert parts.at((5, 0, 0)) is None


def test_parts_above_a_certainty_are_split_and_described_by_what_is_certain():
    prediction = np.zeros(SHAPE, np.uint8)
    prediction[2, 2, 1:8] = 1
    uncertainty = np.full(SHAPE, 0.1, np.float32)
    uncertainty[2, 2, 3] = 0.8
    whole = connected_parts(prediction, GRID, [1], uncertainty=uncertainty)
    assert whole.table[0].certainty == pytest.approx(1 - (6 * 0.1 + 0.8) / 7)
    certain = connected_parts(prediction, GRID, [1], uncertainty=uncertainty, least_certainty=0.85)
    assert [round(each.size_ml * 500) for each in certain.table] == [4, 2]
    assert all(each.certainty == pytest.approx(0.9) for each in certain.table)


def test_small_parts_can_be_left_out():
    parts = connected_parts(two_classes(), GRID, [1, 2], smallest_ml=0.017)
    assert [each.class_value for each in parts.table] == [2]
    assert parts.mask([1]).sum() == 9


def test_a_certainty_wants_a_map():
    with pytest.raises(ValueError, match="uncertainty"):
        connected_parts(two_classes(), GRID, [1], least_certainty=0.5)


def test_an_empty_answer_has_no_part():
    assert connected_parts(np.zeros(SHAPE, np.uint8), GRID, [1, 2]).table == ()


def test_what_is_decided_already_is_in_no_part():
    prediction = two_classes()
    left = np.ones(SHAPE, bool)
    left[1:3, 1:3, 1:3] = False
    parts = connected_parts(prediction, GRID, [1, 2], among=left)
    assert [each.class_value for each in parts.table] == [1, 2]
    assert not (parts.numbers[~left]).any()


def test_background_can_be_a_part_too():
    uncertainty = np.zeros(SHAPE, np.float32)
    uncertainty[5] = 0.5
    parts = connected_parts(
        two_classes(), GRID, [0, 1], uncertainty=uncertainty, least_certainty=0.9
    )
    background = parts.table[0]
    assert (background.class_value, background.box[0]) == (0, slice(0, 5))
    expected = (two_classes() == 0) & (uncertainty == 0)
    assert (parts.mask([background.number]) == expected).all()


def test_parts_beside_a_label_are_told_from_those_on_their_own():
    parts = connected_parts(two_classes(), GRID, [1, 2])
    label = np.zeros(SHAPE, np.uint8)
    assert parts.touching(label) == frozenset()
    label[3, 3, 3] = 1
    assert parts.touching(label) == {3}
    label[4, 5, 5] = 2
    assert parts.touching(label) == {2, 3}


def test_outside_the_scan_there_is_no_part():
    parts = connected_parts(np.ones(SHAPE, np.uint8), GRID, [1])
    assert parts.at((0, 0, 0)).number == 1
    assert parts.at((-1, 0, 0)) is None
    assert parts.at((0, 0, 9)) is None
