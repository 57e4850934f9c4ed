"""The size profile of a scan (specification §6.5)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.size_profile import NEGLIGIBLE, SizeProfile, size_profile
from napari_semiseg.engine.methods.contract import PatchMaps
from napari_semiseg.engine.methods.curriculum import Curriculum
from napari_semiseg.engine.methods.oracle_size import OracleSize
from tests.engine.inference.known_answers import Threshold, blob, finish, make_plan, make_volume


class Known:
    """Answers from the intensities: a voxel is foreground where it is bright, as `Threshold`."""

    def __init__(self, plan, factor=1.0):
        self.plan, self.factor = plan, factor
        self.fabric = SimpleNamespace(device=torch.device("cpu"))
        self.settings = self.Settings()
        self.prototypes = None

    def predict(self, patch, uncertainty=True, native=False):
        foreground = (patch[:, :1] > 0.5).float()
        probabilities = torch.cat([1 - foreground, foreground], dim=1)
        return PatchMaps(probabilities, None, probabilities)


class KnownCurriculum(Known, Curriculum):
    """Regresses the size of what is bright, times a factor."""

    def regress_sizes(self, images):
        return self.factor * (images[:, :1] > 0.5).float().flatten(2).mean(dim=2)


class KnownOracle(Known, OracleSize):
    """Expects what the label says."""


def profile_of(method, mask, truth=None, **volume):
    shares, profile = finish(size_profile(method, "scan", make_volume(mask, **volume), truth))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    return profile


def test_a_2d_model_is_asked_slice_by_slice_in_square_millimetres():
    plan = make_plan(patch=(1, 8, 8), spacing=(2.0, 1.0, 0.5))
    profile = profile_of(KnownCurriculum(plan), blob(), spacing=(0.5, 1.0, 2.0))
    areas = blob().sum(axis=(1, 2)) * 0.5
    assert profile.unit == "mm²"
    assert profile.axis == 0
    np.testing.assert_array_equal(profile.slices, np.arange(12))
    np.testing.assert_array_equal(profile.ranges, np.stack([np.arange(12)] * 2, axis=1))
    np.testing.assert_allclose(profile.predicted[0], areas)
    np.testing.assert_allclose(profile.regressed[0], areas, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(profile.lower[0], 0.9 * areas, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(profile.upper[0], 1.1 * areas, rtol=1e-3, atol=1e-3)
    assert profile.true is None
    assert (profile.verdicts == 0).all()


@pytest.mark.parametrize("patch", [(8, 8, 8), (6, 20, 20), (16, 16, 24)])
def test_a_3d_model_is_asked_slab_by_slab_in_millilitres(patch):
    """Windows that overlap or reach beyond the scan count nothing twice and nothing else."""
    profile = profile_of(KnownCurriculum(make_plan(patch=patch)), blob())
    volumes = [blob()[first : last + 1].sum() / 1000 for first, last in profile.ranges]
    assert profile.unit == "mL"
    assert profile.ranges[0, 0] == 0
    assert profile.ranges[-1, 1] == 11
    np.testing.assert_allclose(profile.predicted[0], volumes, rtol=1e-6)
    np.testing.assert_allclose(profile.regressed[0], volumes, rtol=1e-2)
    middle = profile.ranges.mean(axis=1)
    assert (np.abs(profile.slices - middle) <= 0.5).all()


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, 1), (2.0, -1), (1.05, 0), (-1.0, 1)])
def test_sizes_outside_the_band_are_told_apart(factor, verdict):
    plan = make_plan(patch=(1, 16, 20))
    profile = profile_of(KnownCurriculum(plan, factor), blob())
    large = blob().sum(axis=(1, 2)) > 10
    assert (profile.verdicts[0][large] == verdict).all()
    empty = blob().sum(axis=(1, 2)) == 0
    assert (profile.verdicts[0][empty] == 0).all()
    assert (profile.lower >= 0).all()


def test_a_difference_that_no_regressor_sees_is_no_verdict():
    plan = make_plan(patch=(1, 16, 20))
    profile = profile_of(KnownCurriculum(plan, 0.0), blob())
    assert profile.negligible == pytest.approx(NEGLIGIBLE * 320)
    single_voxel = np.zeros((2, 64, 64), bool)
    single_voxel[0, 5, 5] = True
    plan = make_plan(patch=(1, 64, 64))
    assert (profile_of(KnownCurriculum(plan, 0.0), single_voxel).verdicts == 0).all()


@pytest.mark.parametrize("axes", ["RAS", "LPI", "RIP", "SAR"])
def test_positions_are_slices_of_the_scan_as_it_is_stored(axes):
    """Whatever the orientation, the slices named hold the structure that is reported."""
    plan = make_plan(patch=(1, 16, 16))
    profile = profile_of(KnownCurriculum(plan), blob(), axes=axes)
    assert profile.axis == 2 - next(n for n, letter in enumerate(axes) if letter in "SI")
    others = tuple(axis for axis in range(3) if axis != profile.axis)
    np.testing.assert_allclose(
        profile.predicted[0], blob().sum(axis=others)[profile.slices].astype(float)
    )
    assert (np.diff(profile.slices) > 0).all()


def test_slices_are_counted_on_the_scans_own_grid_where_the_model_sees_fewer():
    plan = make_plan(patch=(1, 16, 20), spacing=(3.0, 1.0, 1.0))
    profile = profile_of(KnownCurriculum(plan), blob())
    np.testing.assert_array_equal(profile.ranges, [[0, 2], [3, 5], [6, 8], [9, 11]])
    np.testing.assert_array_equal(profile.slices, [1, 4, 7, 10])


def test_a_label_adds_the_true_sizes():
    plan = make_plan(patch=(1, 16, 20))
    truth = np.zeros(blob().shape, np.uint8)
    truth[3:5, 4:8, 4:8] = 3
    profile = profile_of(KnownCurriculum(plan), blob(), truth)
    np.testing.assert_allclose(profile.true[0], (truth == 3).sum(axis=(1, 2)))


def test_the_oracle_expects_the_true_sizes():
    plan = make_plan(patch=(1, 16, 20))
    truth = 3 * blob().astype(np.uint8)
    truth[4] = 0
    profile = profile_of(KnownOracle(plan), blob(), truth)
    np.testing.assert_allclose(profile.regressed, profile.true)
    assert np.flatnonzero(profile.verdicts[0]).tolist() == [4]


def test_a_method_without_expected_sizes_is_refused():
    with pytest.raises(StudyError, match="Curriculum"):
        finish(size_profile(Threshold(make_plan()), "scan", make_volume(blob())))
    with pytest.raises(StudyError, match="label"):
        finish(size_profile(KnownOracle(make_plan()), "scan", make_volume(blob())))


def test_classes_are_measured_one_by_one():
    sizes = np.array([[1.0, 2.0], [5.0, 6.0]])
    profile = SizeProfile(
        "scan", (1, 2), "mL", 0, np.arange(2), np.zeros((2, 2), int), sizes, 0.9 * sizes,
        1.1 * sizes, np.array([[1.0, 3.0], [4.0, 6.1]]), None, 0.01,
    )  # fmt: skip
    assert profile.verdicts.tolist() == [[0, 1], [-1, 0]]
