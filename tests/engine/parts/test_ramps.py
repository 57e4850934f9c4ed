import math

import pytest

from napari_semiseg.engine.parts.ramps import certainty_threshold, gaussian_ramp, stepped_ramp


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0, 0.00674), (0.5, 0.2865), (0.75, 0.7316), (1, 1.0), (2, 1.0), (-1, 0.00674)],
)
def test_the_ramp_has_the_papers_values(share, expected):
    assert gaussian_ramp(share) == pytest.approx(expected, abs=1e-4)


def test_the_stepped_ramp_changes_every_150_of_6000_iterations():
    assert stepped_ramp(149 / 6000) == gaussian_ramp(0)
    assert stepped_ramp(150 / 6000) == gaussian_ramp(1 / 40)
    assert stepped_ramp(1) == 1


def test_the_certainty_threshold_rises_to_the_largest_entropy_of_any_number_of_classes():
    for classes in (2, 3, 7):
        assert certainty_threshold(1.0, classes) == pytest.approx(math.log(classes))
        assert certainty_threshold(0.0, classes) == pytest.approx(
            0.7517 * math.log(classes), abs=1e-3
        )
