"""napari's list of layers as the desk uses it: put in, take off, keep the active one, hear of looks.

`layers` alone owns one, and decides what comes into it. It never looks for layers by name and leaves
those of the user alone. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_semiseg.gui.viewer.layer_data import LayerData

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Layer

_LOOKS = (
    *("data", "labels_update", "visible", "opacity", "blending", "colormap"),
    *("contrast_limits", "gamma", "contour", "show_selected_label", "selected_label"),
)
"""Events of a layer after which it looks different; during a stroke ``labels_update`` comes."""


class LayerStack:
    """The layers of a viewer, the lowest first.

    Parameters
    ----------
    layers : napari.components.LayerList
        The viewer's list.
    looks_changed : callable
        Called after layers came or went, or one of them has other voxels or another look. napari
        tells of an undo only as it tells of scrolling: that is not among it.
    """

    def __init__(self, layers: LayerList, looks_changed: Callable[[], None]) -> None:
        self._layers = layers
        self._looks_changed = looks_changed
        self._at_once = False
        for layer in layers:
            self._listen(layer)
        layers.events.inserted.connect(self._on_inserted)
        layers.events.removed.connect(self._on_removed)
        layers.events.reordered.connect(self._on_look)

    def __contains__(self, layer: Any) -> bool:
        return layer in self._layers

    @property
    def active(self) -> Layer | None:
        """The layer that the user works in."""
        return self._layers.selection.active

    @active.setter
    def active(self, layer: Layer | None) -> None:
        self._layers.selection.active = layer

    @contextmanager
    def active_kept(self) -> Iterator[None]:
        """Let layers come without one of them becoming the active one, as napari would have it.

        Nobody hears of what napari selects in between: its controls would draw each of them.
        """
        active, selection = self.active, self._layers.selection
        if active is None:
            yield
            return
        with selection.events.blocker_all():
            yield
            if active in self._layers:
                selection.active = active

    def visible(self) -> list[Layer]:
        """Return the layers that show, the user's own among them, from the lowest to the uppermost."""
        return [layer for layer in self._layers if layer.visible]

    def add(self, data: LayerData, below: Layer | None = None) -> Any:
        """Add a layer on top, or directly under another."""
        from napari.layers import Layer

        layer = Layer.create(*data)
        if below is None:
            self._layers.append(layer)
        else:
            self._layers.insert(self._layers.index(below), layer)
        return layer

    def take_off(self, layers: Iterable[Layer]) -> None:
        """Take layers off; those that the user has removed already are passed over."""
        present = [layer for layer in layers if layer in self._layers]
        if present:
            with self.at_once():
                for layer in present:
                    self._layers.remove(layer)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let layers come and go together: napari then arranges the scene once, in the end.

        By itself it does so for each of them, and collects all garbage for each that went.
        """
        if self._at_once:
            yield
            return
        self._at_once = True
        try:
            with self._layers.batched_update():
                yield
        finally:
            self._at_once = False

    def _listen(self, layer: Layer) -> None:
        for emitter in _look_emitters(layer):
            emitter.connect(self._on_look)

    def _on_inserted(self, event: Any) -> None:
        self._listen(event.value)
        self._looks_changed()

    def _on_removed(self, event: Any) -> None:
        for emitter in _look_emitters(event.value):
            emitter.disconnect(self._on_look)
        self._looks_changed()

    def _on_look(self) -> None:
        self._looks_changed()


def _look_emitters(layer: Layer) -> list[Any]:
    known = set(layer.events)
    return [layer.events[name] for name in _LOOKS if name in known]
