"""Keys that act while the pointer is on the image: classes while labelling, decisions in a review.

napari asks the active layer for a key before the viewer, and its own layer keys use the same digits
and letters; so the desk's keys go to the viewer and to the desk's layers, and to no others. They are
taken back when the page or the layers change and when the dock closes. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_semiseg.gui.viewer.layers import CaseLayers

Action = Callable[[], None]


class ViewerKeys:
    """The keys of the page on show.

    Parameters
    ----------
    layers : CaseLayers
        The desk's layers in it.
    """

    def __init__(self, viewer: ViewerModel, layers: CaseLayers) -> None:
        self._viewer = viewer
        self._layers = layers
        self._actions: dict[str, Action] = {}
        self._bound: list[tuple[Any, str, Any]] = []
        """Where a key was bound, the key, and what it did before."""

    def bind(self, actions: Mapping[str, Action]) -> None:
        """Let these keys act, in place of those of before.

        Parameters
        ----------
        actions : mapping of str to callable
            Keys as napari writes them, such as ``"1"`` or ``"A"``.
        """
        self.unbind()
        self._actions = dict(actions)
        self.renew()

    def renew(self) -> None:
        """Bind the keys anew, after layers came or went."""
        self._release()
        layers = [*self._layers.map_layers().values()]
        if self._layers.label_layer is not None:
            layers.append(self._layers.label_layer)
        for provider in (self._viewer, *layers):
            for key, action in self._actions.items():
                before = provider.bind_key(key, None, overwrite=True)
                provider.bind_key(key, _called_without_viewer(action), overwrite=True)
                self._bound.append((provider, key, before))

    def unbind(self) -> None:
        """Take all keys back."""
        self._release()
        self._actions = {}

    def _release(self) -> None:
        for provider, key, before in self._bound:
            provider.bind_key(key, before, overwrite=True)
        self._bound = []


def _called_without_viewer(action: Action) -> Callable[[Any], None]:
    return lambda _: action()
