"""The map layers of the case on the screen: put in one after the other, and kept for the next case.

A layer more costs napari a tenth of a second on the main thread, whatever is in it, and exchanging its
voxels some milliseconds. So maps come one a turn of the event loop, and those of a scan wait, hidden
and empty, for the maps of the next one. `layers` owns this; main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_semiseg.engine.volumes import Geometry
from napari_semiseg.gui.viewer.colours import PREDICTION_CONTOUR
from napari_semiseg.gui.viewer.layer_data import TAG, LayerData, is_outlined
from napari_semiseg.gui.viewer.layer_stack import LayerStack
from napari_semiseg.gui.viewer.turns import Later, Turns

if TYPE_CHECKING:
    from napari.layers import Layer


class MapStack:
    """The layers of maps, one for each key of `layer_data.map_layers`.

    Parameters
    ----------
    later : callable
        Has the next map put in when the event loop comes round.
    arrived : callable
        Called after a map came later than `show`.
    """

    def __init__(self, stack: LayerStack, later: Later, arrived: Callable[[], None]) -> None:
        self._stack = stack
        self._arrived = arrived
        self._layers: dict[str, Layer] = {}
        self._leaving: list[Layer] = []
        self._visible: dict[str, bool] | None = None
        self._coming = Turns(later)
        self._order: tuple[str, ...] = ()

    @property
    def shown(self) -> dict[str, Layer]:
        """The maps of the case on the screen; not those that the user removed."""
        if self._visible is not None:
            return {}
        return {key: layer for key, layer in self._layers.items() if layer in self._stack}

    @property
    def complete(self) -> bool:
        """Whether no map is still to come."""
        return self._coming.over

    def show(self, wanted: dict[str, LayerData], label: Callable[[], Layer | None]) -> None:
        """Show maps in place of those of before; the uppermost at once, others may come later.

        Parameters
        ----------
        wanted : dict of str to LayerData
            The maps, from the lowest to the uppermost. A layer that stays keeps what the user chose
            for it.
        label : callable
            Returns the layer that all maps lie under; None where there is none.
        """
        self._coming.drop()
        self._let_go(
            [key for key, layer in self._layers.items() if not self._fits(layer, wanted.get(key))]
        )
        for key, layer in self._layers.items():
            refresh(layer, wanted[key])
            _scale(layer, wanted[key][1]["scale"])
        self._end_waiting()
        self._order = tuple(wanted)
        missing = [key for key in reversed(wanted) if key not in self._layers]
        come = [
            partial(self._put_in, key, wanted[key], label, key == missing[0]) for key in missing
        ]
        self._coming.begin([*come, *(partial(self._take_off, [gone]) for gone in self._leaving)])

    def wait(self, geometry: Geometry) -> None:
        """Hide and empty the layers until the maps of another scan, which are on their way, come."""
        self._coming.drop()
        self._take_off(list(self._leaving))
        present = {key: layer for key, layer in self._layers.items() if layer in self._stack}
        waiting = self._visible or {}
        self._visible = {key: waiting.get(key, layer.visible) for key, layer in present.items()}
        self._layers = present
        for layer in present.values():
            layer.visible = False
            layer.data = np.broadcast_to(layer.data.dtype.type(0), geometry.shape)
            _scale(layer, geometry.spacing)

    def clear(self) -> None:
        """Take the maps off, and those that are still to come, too."""
        self._coming.drop()
        self._take_off([*self._leaving, *self._layers.values()])
        self._layers, self._visible = {}, None

    def stop(self) -> None:
        """Let no more maps come."""
        self._coming.drop()

    def _fits(self, layer: Layer, data: LayerData | None) -> bool:
        return data is not None and layer in self._stack and _look_alike(layer, data)

    def _let_go(self, keys: Iterable[str]) -> None:
        """Hide layers until they are taken off: nobody waits for that."""
        for key in keys:
            layer = self._layers.pop(key)
            self._leaving.append(layer)
            if layer.visible and layer in self._stack:
                layer.visible = False

    def _take_off(self, layers: Iterable[Layer]) -> None:
        gone = list(layers)
        self._stack.take_off(gone)
        self._leaving = [layer for layer in self._leaving if layer not in gone]

    def _end_waiting(self) -> None:
        for key, visible in (self._visible or {}).items():
            if visible and key in self._layers:
                self._layers[key].visible = True
        self._visible = None

    def _put_in(
        self, key: str, data: LayerData, label: Callable[[], Layer | None], first: bool
    ) -> None:
        above = self._order[self._order.index(key) + 1 :]
        over = [self._layers[name] for name in above if name in self.shown]
        with self._stack.active_kept():  # else a stroke would go into the wrong layer
            layer = self._stack.add(data, below=over[0] if over else label())
        if data[2] == "labels":
            layer.editable = False
        if is_outlined(key):
            layer.contour = PREDICTION_CONTOUR
        self._layers[key] = layer
        if not first:
            self._arrived()


def refresh(layer: Layer, data: LayerData) -> None:
    """Put other voxels into a layer in which nobody paints, so that its array may be exchanged."""
    voxels, arguments, _ = data
    layer.data = voxels
    layer.name = arguments["name"]
    layer.metadata = arguments["metadata"]


def _scale(layer: Layer, spacing: Sequence[float]) -> None:
    if not np.array_equal(layer.scale, spacing):  # napari draws the layer anew in any case
        layer.scale = spacing


def _look_alike(layer: Layer, data: LayerData) -> bool:
    """Tell whether a layer can take a map: another method's own map may share no more than a key."""
    own = data[1]["metadata"][TAG].get("native")
    return bool(layer.metadata.get(TAG, {}).get("native") == own)
