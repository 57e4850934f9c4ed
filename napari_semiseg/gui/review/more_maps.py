"""A button with a menu of the maps that only the run's own method makes, for the Review page.

Their number and their titles are the method's, and may be long: a menu is as wide as they need, a
row of the column is not. Main thread only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMenu, QPushButton

from napari_semiseg.gui.widgets.controls import allow, describe

if TYPE_CHECKING:
    from napari_semiseg.engine.methods.native_maps import NativeMap

TITLE = "&More maps"


class MoreMaps(QPushButton):
    """Chooses which of a method's own maps show.

    Attributes
    ----------
    chosen : Signal
        Kind of a map (str) and whether it is to show (bool).
    """

    chosen = Signal(str, bool)

    def __init__(self) -> None:
        super().__init__()
        # the arrow is part of the text: napari's style has none for buttons with menus
        self.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0; }")
        describe(self, "More maps", "Maps that only the method of this run makes.")
        self._menu = QMenu(self)
        self._menu.setToolTipsVisible(True)
        self._offered: dict[str, NativeMap] = {}
        self.setMenu(self._menu)
        self.offer({}, (), None)

    def offer(
        self, maps: Mapping[str, NativeMap], wanted: Collection[str], reason: str | None
    ) -> None:
        """Offer maps by their titles.

        Parameters
        ----------
        reason : str or None
            Why there are none; None where there are some.
        """
        if dict(maps) != self._offered:
            self._offered = dict(maps)
            self._menu.clear()
            for kind, description in maps.items():
                self._menu.addAction(self._action(kind, description))
        for action, kind in zip(self._menu.actions(), self._offered, strict=True):
            action.setChecked(kind in wanted)
        shown = sum(kind in wanted for kind in self._offered)
        self.setText(f"{TITLE} ({shown} on)  ▾" if shown else f"{TITLE}  ▾")
        allow(self, reason)

    def _action(self, kind: str, description: NativeMap) -> QAction:
        action = QAction(description.title.replace("&", "&&"), self._menu)
        action.setCheckable(True)
        action.setToolTip(description.drawn.explanation)
        # triggered, not toggled: only what the user does is told
        action.triggered.connect(partial(self.chosen.emit, kind))
        return action
