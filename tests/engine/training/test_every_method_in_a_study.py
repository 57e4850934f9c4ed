"""Every method, from a study on disk to maps: two classes, two channels, thick slices, 3D and 2D."""

import numpy as np
import pytest

from napari_semiseg.engine.inference.prediction import CasePredicted, predict
from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.study import CaseState
from napari_semiseg.engine.training.events import Finished, Progress
from napari_semiseg.engine.training.loop import train
from napari_semiseg.engine.training.settings import TrainingSettings
from tests.engine.small_study import make_study

pytestmark = pytest.mark.trains

STEPS, STOPPED_AFTER = 30, 20
THICK = np.diag([1.0, 1.0, 2.5, 1.0])
PLANS = {
    "3D": {"network.filters": 4, "patch": [8, 16, 16], "network.strides": [[1, 2, 2], [2, 2, 2]]},
    "slices": {
        "network.dimensions": 2,
        "network.filters": 4,
        "patch": [1, 16, 16],
        "network.strides": [[2, 2], [2, 2]],
    },
}


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    pass


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Six scans of which one is labelled, one is held out, and one has a label that is not finished."""
    folder = tmp_path_factory.mktemp("study")
    made = make_study(
        folder, count=6, labelled=1, held_out=1, shape=(20, 22, 12), channels=2, affine=THICK
    )
    label = made.labels.load("case_00")
    made.labels.save("case_02", label, state=CaseState.IN_PROGRESS, author="test")
    return made


def losses_of(study, settings, resume=None, until=None):
    """Train and return the loss of every step; leave after step ``until``."""
    losses = {}
    work = train(study, settings, resume)
    for event in work:
        if isinstance(event, Progress):
            losses[event.step] = event.scalars["loss"]
            if event.step == until:
                work.close()
                break
        if isinstance(event, Finished):
            assert event.status == "finished"
    return losses, study.runs.all()[-1].identifier


@pytest.mark.parametrize("dimensions", PLANS)
@pytest.mark.parametrize("key", available_methods())
def test_a_method_trains_resumes_on_the_same_curve_and_makes_every_map(study, key, dimensions):
    settings = TrainingSettings(
        method=key, steps=STEPS, device="cpu", plan_overrides=PLANS[dimensions]
    )
    expected, _ = losses_of(study, settings, until=STOPPED_AFTER + 1)
    _, run = losses_of(study, settings, until=STOPPED_AFTER)
    resumed, _ = losses_of(study, settings, resume=run)
    next_step = STOPPED_AFTER + 1
    assert resumed[next_step] == pytest.approx(expected[next_step], rel=1e-5)
    assert list(resumed) == list(range(next_step, STEPS + 1))
    assert np.isfinite(list(resumed.values())).all()

    (maps,) = [
        event.maps
        for event in predict(study, run, ["case_04"], device="cpu")
        if isinstance(event, CasePredicted)
    ]
    shape = study.case("case_04").geometry.shape
    assert maps.prediction.shape == shape
    assert set(np.unique(maps.prediction)) <= {0, 1, 2}
    assert maps.uncertainty.shape == shape
    assert 0 <= maps.uncertainty.min() <= maps.uncertainty.max() <= 1
    assert maps.signed_distance.shape == (2, *shape)
    assert np.isfinite(maps.signed_distance).all()
    assert maps.similarity.shape == (3, *shape)
    assert -1 <= maps.similarity.min() <= maps.similarity.max() <= 1


def test_there_are_methods_enough_to_choose_from():
    assert len(available_methods()) >= 25
