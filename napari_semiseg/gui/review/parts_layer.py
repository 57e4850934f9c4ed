"""Outlines of the parts of a prediction in the image, and clicks on them. Main thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_semiseg.gui.viewer.layer_data import LayerData, spatial_arguments, tag

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.utils.colormaps import DirectLabelColormap

    from napari_semiseg.engine.inference.maps import CaseMaps
    from napari_semiseg.gui.viewer.layers import CaseLayers

NAME = "would be accepted"
OFFERED_COLOUR = "#ffffff"
CHOSEN_COLOUR = "#ff3ea5"
"""White and a pink that no class has by default; they differ in brightness, too."""

CONTOUR = 1
OPACITY = 1.0
_LEFT_BUTTON = 1


class PartLayer:
    """The layer that outlines parts, with the chosen one in a colour of its own.

    Parameters
    ----------
    layers : CaseLayers
        The desk's layers.
    clicked : callable
        Called with the voxel (z, y, x) that was clicked while the layer shows; never while the user
        paints, drags the view or looks at it in 3D.
    """

    def __init__(self, layers: CaseLayers, clicked: Callable[[tuple[int, int, int]], None]) -> None:
        self._layers = layers
        self._clicked = clicked
        self._layer: Labels | None = None

    def show(self, maps: CaseMaps, numbers: np.ndarray, chosen: int | None) -> None:
        """Outline parts in place of those of before.

        Parameters
        ----------
        maps : CaseMaps
            The prediction that they are parts of; that of the case on show.
        numbers : ndarray of int, shape (z, y, x)
            Number of the part that each voxel is in; 0 for none.
        """
        if self._layer is not None and self._layer.metadata["maps"] is maps:
            self._layer.data = numbers
            self.emphasise(chosen)
            return
        self.hide()
        self._layer = self._layers.add_mark(_layer_data(maps, numbers, chosen))  # type: ignore[assignment]
        if self._layer is not None:
            self._layer.contour = CONTOUR
            self._layer.editable = False
        self._layers.viewer.mouse_drag_callbacks.append(self._on_press)

    def emphasise(self, chosen: int | None) -> None:
        """Give the chosen part its colour; None chooses none."""
        if self._layer is not None:
            self._layer.colormap = _colormap(chosen)

    def hide(self) -> None:
        """Take the outlines off."""
        if self._layer is not None:
            self._layers.remove_mark(self._layer)
            self._layers.viewer.mouse_drag_callbacks.remove(self._on_press)
            self._layer = None

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        """Wait for the button to be released: a press that moves drags the view."""
        label, layer = self._layers.label_layer, self._layer
        paints = label is not None and str(label.mode) != "pan_zoom"
        if layer is None or paints or event.button != _LEFT_BUTTON:
            return
        if self._layers.dims.ndisplay != 2:
            return
        yield
        if event.type == "mouse_move":
            return
        z, y, x = (round(float(at)) for at in layer.world_to_data(event.position))
        self._clicked((z, y, x))


def _colormap(chosen: int | None) -> DirectLabelColormap:
    from napari.utils.colormaps import DirectLabelColormap

    colours: dict[int | None, str] = {None: OFFERED_COLOUR, 0: "transparent"}
    if chosen is not None:
        colours[chosen] = CHOSEN_COLOUR
    return DirectLabelColormap(color_dict=colours)


def _layer_data(maps: CaseMaps, numbers: np.ndarray, chosen: int | None) -> LayerData:
    arguments = {
        "name": NAME,
        "opacity": OPACITY,
        "colormap": _colormap(chosen),
        "metadata": {**tag("parts", maps.case, maps.geometry), "maps": maps},
        **spatial_arguments(maps.geometry),
    }
    return numbers, arguments, "labels"
