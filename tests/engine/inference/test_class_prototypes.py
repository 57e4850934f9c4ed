"""Prototypes are the mean features of the classes over the labelled cases."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_semiseg.engine.inference import class_prototypes
from napari_semiseg.engine.inference.class_prototypes import measure_prototypes
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.sampling.patch_cache import CachedCase, _foreground
from napari_semiseg.engine.volumes import Geometry
from tests.engine.inference.known_answers import CoarseFeatures, Threshold, blob, make_plan


def case_of(label, name="case", classes=3):
    image = np.asarray(label, np.float16)[None]
    grid = ModelGrid.of(Geometry(label.shape, np.eye(4), None), (1.0, 1.0, 1.0))
    return CachedCase(name, image, label.astype(np.uint8), _foreground(label, classes), grid)


def two_classes():
    label = blob().astype(np.uint8)
    label[3:6, 4:8, 5:8] = 2
    return label


def method_of(patch=(8, 8, 8)):
    return Threshold(make_plan(patch, class_values=(1, 2)), (0.5, 1.5))


@pytest.mark.parametrize("patch", [(8, 8, 8), (16, 16, 32)])
def test_one_hot_features_give_the_identity(patch):
    found = measure_prototypes(method_of(patch), [case_of(two_classes())])
    torch.testing.assert_close(found, torch.eye(3))


def test_a_class_that_no_case_shows_has_zeros():
    found = measure_prototypes(method_of(), [case_of(blob().astype(np.uint8))])
    torch.testing.assert_close(found[2], torch.zeros(3))


def test_ignored_voxels_count_for_no_class():
    label = two_classes()
    label[2:7, 3:10, 8] = 255
    found = measure_prototypes(method_of(), [case_of(label)])
    torch.testing.assert_close(found, torch.eye(3))


def test_cases_without_a_structure_do_not_hide_those_with_one(monkeypatch):
    monkeypatch.setattr(class_prototypes, "CASES_READ", 2)
    empty = np.zeros_like(two_classes())
    cases = [case_of(empty), case_of(empty), case_of(two_classes())]
    torch.testing.assert_close(measure_prototypes(method_of(), cases), torch.eye(3))


def test_only_so_many_cases_are_read(monkeypatch):
    monkeypatch.setattr(class_prototypes, "CASES_READ", 1)
    method = method_of()
    measure_prototypes(method, [case_of(two_classes())] * 3)
    assert len(method.seen) == 2  # one window around each class


def test_prototypes_of_a_2d_network_come_from_slices():
    method = Threshold(make_plan((1, 8, 8), class_values=(1, 2)), (0.5, 1.5))
    found = measure_prototypes(method, [case_of(two_classes())])
    torch.testing.assert_close(found, torch.eye(3))
    assert {shape[1:] for shape in method.seen} == {(1, 8, 8)}


@pytest.mark.parametrize("patch", [(8, 8, 8), (16, 16, 32), (1, 8, 8)])
def test_prototypes_of_coarse_features_are_those_of_interpolated_ones(patch, monkeypatch):
    method = CoarseFeatures(make_plan(patch, class_values=(1, 2)), (0.5, 1.5))
    label = two_classes()
    label[2:7, 3:10, 8] = 255
    cases = [case_of(label), case_of(np.flip(label, 0).copy())]
    found = measure_prototypes(method, cases)
    plain = method.predict

    def interpolated(window, uncertainty):
        maps = plain(window, uncertainty)
        mode = "bilinear" if window.dim() == 4 else "trilinear"
        features = torch.nn.functional.interpolate(maps.features, window.shape[2:], mode=mode)
        return replace(maps, features=features)

    monkeypatch.setattr(method, "predict", interpolated)
    expected = measure_prototypes(method, cases)
    assert found.shape == (3, 4)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_class_that_no_case_shows_has_zeros_with_coarse_features_too():
    method = CoarseFeatures(make_plan(class_values=(1, 2)), (0.5, 1.5))
    found = measure_prototypes(method, [case_of(blob().astype(np.uint8))])
    assert found[:2].any(dim=1).all()
    torch.testing.assert_close(found[2], torch.zeros(4))
