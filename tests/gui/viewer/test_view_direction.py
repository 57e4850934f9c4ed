from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.volumes import Geometry
from napari_semiseg.gui.viewer.view_direction import border_letters, plane_name, upright_order

RAS, LPS = np.diag([1.0, 1, 1, 1]), np.diag([-1.0, -1, 1, 1])
SAGITTAL_STACK = np.array(
    [[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]]
)  # x runs to posterior, y to inferior, z to the right


def grid(affine):
    return Geometry((4, 5, 6), np.asarray(affine, float), None)


@pytest.mark.parametrize("affine", [RAS, LPS])
def test_an_axial_view_has_anterior_above_and_the_patients_right_on_the_left(affine):
    assert border_letters(grid(affine)) == ("A", "P", "R", "L")


@pytest.mark.parametrize("affine", [RAS, LPS, SAGITTAL_STACK])
def test_upright_views_have_the_letters_of_radiology_whatever_the_stack(affine):
    geometry = grid(affine)
    letters = {
        plane_name(geometry, axis): "".join(border_letters(geometry, upright_order(geometry, axis)))
        for axis in range(3)
    }
    assert letters == {"axial": "APRL", "coronal": "SIRL", "sagittal": "SIAP"}


def test_planes_are_named_after_what_they_cut():
    assert [plane_name(grid(RAS), axis) for axis in range(3)] == ["axial", "coronal", "sagittal"]
    assert plane_name(grid(SAGITTAL_STACK), 0) == "sagittal"
