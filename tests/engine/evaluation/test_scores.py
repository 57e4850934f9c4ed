"""The measures of a comparison are those of the held-out evaluation, and volume errors beside them."""

import numpy as np
import pytest

from napari_semiseg.engine.evaluation.measures import MEASURES, compared
from napari_semiseg.engine.evaluation.metrics import CaseMetrics, mean_of, mean_score, score
from tests.engine.evaluation.figures import class_metrics


def of_class(dice, hd95, volume, reference):
    return class_metrics(
        dice=dice, hd95=hd95, asd=hd95, volume_ml=volume, reference_volume_ml=reference
    )


@pytest.fixture
def cases():
    random = np.random.default_rng(0)
    made = [
        CaseMetrics({value: of_class(*random.uniform(0.1, 1, 4).tolist()) for value in (1, 2)})
        for _ in range(5)
    ]
    # a structure that is nowhere, and one that was missed
    made.append(CaseMetrics({1: of_class(None, None, 0.0, 0.0), 2: of_class(0.0, None, 0.0, 0.5)}))
    return made


@pytest.mark.parametrize("measure", ["dice", "hd95", "asd"])
def test_means_are_those_of_the_evaluation(cases, measure):
    means = mean_of(cases)
    assert mean_score(cases, measure) == pytest.approx(means.overall[measure])
    for value in (1, 2):
        expected = means.classes[value][measure]
        assert mean_score(cases, measure, value) == pytest.approx(expected)


def test_volume_errors_have_no_sign_and_are_relative_to_the_label():
    case = CaseMetrics({1: of_class(0.9, 1.0, 1.5, 2.0), 2: of_class(0.9, 1.0, 3.0, 2.0)})
    assert score(case, "volume_error_ml", 1) == pytest.approx(0.5)
    assert score(case, "volume_error_percent", 1) == pytest.approx(25)
    assert score(case, "volume_error_percent", 2) == pytest.approx(50)
    assert score(case, "volume_error_percent") == pytest.approx(37.5)


def test_what_is_not_defined_is_none_and_left_out(cases):
    nowhere = cases[-1]
    for measure in [each.key for each in compared()]:
        assert score(nowhere, measure, 1) is None
        assert score(nowhere, measure, 7) is None
    assert score(nowhere, "dice") == 0
    assert score(nowhere, "volume_error_percent", 2) == pytest.approx(100)
    invented = CaseMetrics({1: of_class(0.0, None, 0.5, 0.0)})
    assert score(invented, "volume_error_percent", 1) is None
    assert score(invented, "volume_error_ml", 1) == pytest.approx(0.5)
    assert mean_score([], "dice") is None


def test_figures_read_as_their_measure_does():
    assert MEASURES["dice"].text(0.85749) == "0.857"
    assert MEASURES["volume_error_percent"].text(None) == "–"
    assert MEASURES["hd95"].heading == "HD95, mm"
