"""The canvas divided into linked views, one for each of a few groups of layers, and given back.

napari's grid puts groups of equally many layers beside each other and moves all its views together.
`layers` divides the canvas for a comparison of two runs, on the main thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_semiseg.gui.viewer.layer_data import LayerData

GAP = 6
"""Pixels between two views."""

_GRID = ("stride", "shape", "spacing", "enabled")


def copy_for_view(layer: Layer, view: int) -> LayerData:
    """Return a layer once more, for the view of this number; both share their voxels."""
    return name_for_view(layer.as_layer_data_tuple(), view)


def name_for_view(data: LayerData, view: int) -> LayerData:
    """Return a layer under a name that tells it from its like in the other views."""
    voxels, arguments, kind = data
    return voxels, {**arguments, "name": f"{arguments['name']} · view {view}"}, kind


@dataclass(frozen=True)
class _Before:
    """What the canvas was like."""

    grid: dict[str, Any]
    visible: tuple[tuple[Layer, bool], ...]
    centre: Any
    zoom: float


class SplitView:
    """A canvas that can be divided, and is as it was before when the division ends."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._before: _Before | None = None

    @property
    def divided(self) -> bool:
        """Whether the canvas is divided."""
        return self._before is not None

    def divide(self, columns: int, layers_each: int, hidden: Sequence[Layer]) -> None:
        """Put the uppermost layers beside each other, in as many views as there are columns.

        Parameters
        ----------
        layers_each : int
            Number of layers in each view, counted from the top of the list.
        """
        grid, camera = self._viewer.canvas.grid, self._viewer.scene.camera
        self._before = _Before(
            {name: getattr(grid, name) for name in _GRID},
            tuple((layer, layer.visible) for layer in hidden),
            camera.center,
            camera.zoom,
        )
        for layer in hidden:
            _show(layer, False)
        # a negative stride fills the views from the top of the list, so that layers of the user
        # further down do not shift them
        grid.stride, grid.shape, grid.spacing = -layers_each, (1, columns), GAP
        grid.enabled = True
        camera.zoom = camera.zoom / columns

    def end(self) -> None:
        """Give the canvas back as it was; nothing happens where it is not divided."""
        before, self._before = self._before, None
        if before is None:
            return
        grid, camera = self._viewer.canvas.grid, self._viewer.scene.camera
        for name in reversed(_GRID):
            setattr(grid, name, before.grid[name])
        for layer, visible in before.visible:
            _show(layer, visible)
        camera.center, camera.zoom = before.centre, before.zoom


def _show(layer: Layer, visible: bool) -> None:
    if layer.visible != visible:  # napari arranges the scene anew even if nothing changes
        layer.visible = visible
