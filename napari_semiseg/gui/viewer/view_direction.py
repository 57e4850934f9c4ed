"""Which way up a scan is shown: radiological convention, from the scan's own orientation.

Anterior and superior point up, the patient's left is on the right, and in 3D nothing is mirrored.
Only the camera turns; voxels and layers stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from napari_semiseg.engine.volumes import Geometry

Depth = Literal["towards", "away"]
Vertical = Literal["up", "down"]
Horizontal = Literal["left", "right"]

_POINTS_UP = "SA"
_POINTS_LEFT = "RA"
_PLANES = {"SI": "axial", "AP": "coronal", "RL": "sagittal"}
"""What a clinician calls a view, by the direction that it cuts."""

_OPPOSITE = dict(zip("LRAPSI", "RLPAIS", strict=True))


class BorderLetters(NamedTuple):
    """Where the borders of a view lie in the patient: each one of L, R, A, P, S and I."""

    top: str
    bottom: str
    left: str
    right: str


def plane_name(geometry: Geometry, axis: int) -> str:
    """Return what a clinician calls the view that cuts an axis: axial, coronal or sagittal.

    Parameters
    ----------
    axis : {0, 1, 2}
        Array axis (z, y, x).
    """
    towards = geometry.orientation[::-1][axis]  # of the array axes z, y, x
    return next(plane for directions, plane in _PLANES.items() if towards in directions)


def upright_order(geometry: Geometry, axis: int) -> tuple[int, int, int]:
    """Return the order of the array axes in which the view that cuts an axis is upright.

    Parameters
    ----------
    axis : {0, 1, 2}
        Array axis (z, y, x) that the view cuts.

    Returns
    -------
    tuple of int
        The axis, the vertical axis and the horizontal one: superior to inferior is vertical, and
        anterior to posterior where that is cut.
    """
    planes = [plane_name(geometry, other) for other in range(3)]
    others = [other for other in range(3) if other != axis]
    vertical, horizontal = sorted(
        others, key=lambda other: list(_PLANES.values()).index(planes[other])
    )
    return axis, vertical, horizontal


def border_letters(geometry: Geometry, order: Sequence[int] = (0, 1, 2)) -> BorderLetters:
    """Return where the borders of a view lie in the patient, as `screen_directions` shows it.

    Parameters
    ----------
    geometry : Geometry
        Grid of the scan; of an oblique one the nearest letters are taken.
    order : sequence of int
        Order of the array axes (z, y, x): the last is horizontal, the one before vertical.
    """
    codes = geometry.orientation[::-1]  # each the direction in which the index grows
    _, vertical, horizontal = screen_directions(geometry, order)
    down, right = codes[order[1]], codes[order[2]]
    if vertical == "up":
        down = _OPPOSITE[down]
    if horizontal == "left":
        right = _OPPOSITE[right]
    return BorderLetters(_OPPOSITE[down], down, _OPPOSITE[right], right)


def screen_directions(
    geometry: Geometry, order: Sequence[int] = (0, 1, 2)
) -> tuple[Depth, Vertical, Horizontal]:
    """Return where the displayed axes of a scan point on the screen.

    Parameters
    ----------
    order : sequence of int
        napari's order of the array axes (z, y, x): the last is horizontal, the one before vertical.

    Returns
    -------
    tuple of str
        Depth, vertical and horizontal direction, as napari's camera takes them.
    """
    codes = geometry.orientation[::-1]  # of the array axes z, y, x
    _, vertical_axis, horizontal_axis = order
    vertical: Vertical = "up" if codes[vertical_axis] in _POINTS_UP else "down"
    horizontal: Horizontal = "left" if codes[horizontal_axis] in _POINTS_LEFT else "right"
    # ("towards", "down", "right") is right-handed; each other choice mirrors. The array axes are
    # (z, y, x), so a right-handed affine makes them left-handed.
    handedness = -np.sign(np.linalg.det(geometry.affine[:3, :3]))
    handedness *= np.sign(np.linalg.det(np.eye(3)[list(order)]))
    mirrors = (vertical == "up") + (horizontal == "left")
    depth: Depth = "towards" if (handedness > 0) == (mirrors % 2 == 0) else "away"
    return depth, vertical, horizontal


def point_camera(viewer: Any, geometry: Geometry | None) -> None:
    """Turn the camera for a scan, or back to napari's own convention for None."""
    order = tuple(viewer.dims.order)
    if geometry is None or sorted(order) != [0, 1, 2]:
        viewer.scene.camera.orientation = ("towards", "down", "right")
    else:
        viewer.scene.camera.orientation = screen_directions(geometry, order)
