"""The layers of a comparison on the screen: put in and taken off one a turn, each run in its own view.

A layer more or less costs napari a tenth of a second on the main thread. So they come one a turn of
the event loop, and those of the comparison before are hidden until their turn to go. `layers` owns
this; main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from napari_semiseg.gui.viewer.colours import PREDICTION_CONTOUR
from napari_semiseg.gui.viewer.layer_data import TAG, LayerData, is_outlined
from napari_semiseg.gui.viewer.layer_stack import LayerStack
from napari_semiseg.gui.viewer.split_view import SplitView, copy_for_view
from napari_semiseg.gui.viewer.turns import Later, Turns

if TYPE_CHECKING:
    from napari.layers import Layer


class ComparisonStack:
    """The layers of compared runs, on top of the case or beside each other.

    Parameters
    ----------
    split : SplitView
        The canvas, which can be divided.
    later : callable
        Has the next layer put in or taken off when the event loop comes round.
    """

    def __init__(self, stack: LayerStack, split: SplitView, later: Later) -> None:
        self._stack = stack
        self._split = split
        self._turns = Turns(later)
        self._layers: list[Layer] = []
        self._leaving: list[Layer] = []
        self._shown = False

    @property
    def shown(self) -> bool:
        """Whether layers of a comparison are on the screen, or on their way there."""
        return self._shown

    def show(
        self,
        cells: Sequence[Sequence[LayerData]],
        own: Sequence[Layer],
        beside: bool,
        aside: Callable[[], Sequence[Layer]],
    ) -> None:
        """Show layers in place of those of the comparison before; the view is given back at once.

        Parameters
        ----------
        cells : sequence of sequence of LayerData
            The layers of each run, from the lowest to the uppermost, the first run uppermost; none
            ends the comparison. Equally many for each run if ``beside``.
        own : sequence of Layer
            Those of the case, which each view of its own repeats if they are visible.
        beside : bool
            Whether each run has a view of its own.
        aside : callable
            Returns the layers that step aside while the canvas is divided.
        """
        removals = self._let_go()
        self._shown = bool(cells)
        copied = [layer for layer in own if layer.visible] if beside else []
        wanted = [
            data
            for view, cell in reversed(list(enumerate(cells, start=1)))
            for data in (*(copy_for_view(layer, view) for layer in copied), *cell)
        ]
        parts: list[Callable[[], None]] = [
            *removals,
            *(partial(self._put_in, data) for data in wanted),
        ]
        if beside and cells:
            parts.append(partial(self._divide, len(cells), aside))
        self._turns.begin(parts)

    def clear(self) -> None:
        """Give the view back and take everything off now."""
        self._let_go()
        self._shown = False
        self._stack.take_off(self._leaving)
        self._leaving = []

    def stop(self) -> None:
        """Let no more layers come."""
        self._turns.drop()

    def _let_go(self) -> list[Callable[[], None]]:
        """Hide the layers and give the view back; return what takes each of them off."""
        self._turns.drop()
        self._leaving, self._layers = [*self._leaving, *self._layers], []
        for layer in self._leaving:
            if layer.visible and layer in self._stack:
                layer.visible = False
        self._split.end()
        return [partial(self._take_off, layer) for layer in self._leaving]

    def _take_off(self, layer: Layer) -> None:
        self._stack.take_off([layer])
        self._leaving = [other for other in self._leaving if other is not layer]

    def _put_in(self, data: LayerData) -> None:
        with self._stack.active_kept():  # else a stroke would go into the wrong layer
            layer = self._stack.add(data)
        layer.editable = False
        if is_outlined(layer.metadata[TAG]["kind"]):
            layer.contour = PREDICTION_CONTOUR
        self._layers.append(layer)

    def _divide(self, views: int, aside: Callable[[], Sequence[Layer]]) -> None:
        self._split.divide(views, len(self._layers) // views, aside())
