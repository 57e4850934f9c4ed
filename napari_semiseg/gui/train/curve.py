"""The live curve of a training run: losses on the left axis, Dice of the scans set aside on the right.

Part of the Train page. Losses are smoothed, because a step sees only a crop or two. Which lines show,
and whether the losses' axis is logarithmic, is chosen in a menu. Drawn with pyqtgraph in the colours
of napari's theme. Main thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_semiseg.gui.widgets.controls import allow, caption, describe, swatch

if TYPE_CHECKING:
    from napari_semiseg.engine.study import ClassInfo
    from napari_semiseg.gui.train.training import TrainingProgress

LOSS_COLOURS = {"loss": "#56b4e9", "supervised": "#8a8f99"}
OTHER_COLOURS = ("#cc79a7", "#009e73", "#d55e00", "#0072b2", "#b8a000")
DICE_COLOUR = "#e69f00"
WORDS = {
    "loss": "loss",
    "supervised": "on labelled scans",
    "consistency": "agreement on unlabelled",
}
"""What the commonest losses are called; the others keep their names."""
MOST_POINTS = 1000
SMOOTHING = 0.95
HEIGHT = 200
BOTTOM_MARGIN = 6  # else pyqtgraph cuts the label of the axis off
MEAN = 0
"""In place of a class value: the mean over all classes."""


class _Trace:
    """One smoothed loss; only the steps that are new are worked on."""

    def __init__(self, item: pg.PlotDataItem, colour: str) -> None:
        self.item = item
        self.colour = colour
        self._steps: list[int] = []
        self._values: list[float] = []
        self._average, self._total, self._seen = 0.0, 0.0, 0

    def clear(self) -> None:
        self._steps, self._values = [], []
        self._average, self._total, self._seen = 0.0, 0.0, 0
        self.item.setData([], [])

    def extend(self, points: Sequence[tuple[int, float]]) -> None:
        if len(points) < self._seen:
            self.clear()
        if len(points) == self._seen:
            return
        for step, value in points[self._seen :]:
            if np.isfinite(value):
                self._average = SMOOTHING * self._average + (1 - SMOOTHING) * value
                self._total = SMOOTHING * self._total + (1 - SMOOTHING)
                self._steps.append(step)
                self._values.append(self._average / self._total)
        self._seen = len(points)
        stride = max(1, len(self._steps) // MOST_POINTS)
        self.item.setData(self._steps[::stride], self._values[::stride])


class LearningCurve(QWidget):
    """Losses and Dice over the steps of a run.

    Parameters
    ----------
    parent : QWidget or None
        Qt's owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._traces: dict[str, _Trace] = {}
        self._dice: dict[int, pg.PlotDataItem] = {}
        self._dice_names: dict[int, tuple[str, str]] = {}
        self._chosen: dict[str, bool] = {}
        self._dice_chosen = True
        self._actions: dict[str, QAction] = {}
        self._progress: TrainingProgress | None = None
        self._make_plot()
        self._make_menu()
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.legend.setAccessibleName("Lines of the learning curve")
        self.summary = caption(faint=True)
        row = QHBoxLayout()
        row.addWidget(self.legend, 1)
        row.addWidget(self.lines, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.plot)
        layout.addLayout(row)
        layout.addWidget(self.summary)

    def _make_plot(self) -> None:
        self.plot = pg.PlotWidget(enableMenu=False)
        self.plot.setFixedHeight(HEIGHT)
        self.plot.setMouseEnabled(False, False)
        self.plot.hideButtons()
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.plot.setAccessibleName("Learning curve")
        self.plot.setToolTip(
            "Error of the network on the crops it learns from (left, smoothed) and overlap with "
            "your labels on the scans set aside (Dice, right, 1 is perfect)."
        )
        item = self.plot.getPlotItem()
        item.setLabel("bottom", "step")
        item.setLabel("left", "loss")
        for name in ("left", "bottom"):
            item.getAxis(name).enableAutoSIPrefix(False)
        item.setContentsMargins(0, 4, 0, BOTTOM_MARGIN)
        item.showAxis("right")
        item.setLabel("right", "Dice")
        self._dice_view = pg.ViewBox(enableMenu=False, enableMouse=False)
        item.scene().addItem(self._dice_view)
        item.getAxis("right").linkToView(self._dice_view)
        self._dice_view.setXLink(item)
        self._dice_view.setYRange(0, 1, padding=0.02)
        item.vb.sigResized.connect(self._follow)

    def _make_menu(self) -> None:
        # the arrow is part of the text: napari's style has none for buttons with menus
        self.lines = QPushButton("Lines  ▾")
        self.lines.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0; }")
        describe(self.lines, "Lines", "Which lines the curve shows, and how.")
        self.menu = QMenu(self.lines)
        self.menu.setToolTipsVisible(True)
        self.lines.setMenu(self.menu)
        self.logarithmic = self._checkable("Logarithmic losses", False, self._set_logarithmic)
        self.logarithmic.setToolTip("Shows small losses better; those below 0 are left out.")
        self.dice_action = self._checkable("Dice on scans set aside", True, self._show_dice)
        self._separator = self.menu.addSeparator()
        allow(self.lines, "There is no curve yet.")

    def _checkable(self, text: str, checked: bool, triggered: object) -> QAction:
        action = QAction(text.replace("&", "&&"), self.menu)
        action.setCheckable(True)
        action.setChecked(checked)
        action.triggered.connect(triggered)
        self.menu.addAction(action)
        return action

    def set_colours(self, background: str, text: str) -> None:
        """Take on the colours of a theme, as ``"#rrggbb"``."""
        self.plot.setBackground(background)
        for name in ("left", "bottom", "right"):
            axis = self.plot.getPlotItem().getAxis(name)
            axis.setPen(text)
            axis.setTextPen(text)

    def name_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Use the names and colours of the study's classes for their Dice."""
        names = {info.value: (info.name, info.colour) for info in classes}
        if names != self._dice_names:
            self._dice_names = names
            for value, item in self._dice.items():
                self._paint_dice(value, item)

    def show_progress(self, progress: TrainingProgress) -> None:
        """Draw what is new in a run."""
        if progress is not self._progress:
            self._progress = progress
            self._begin()
        for name in progress.scalars:
            if name not in self._traces:
                self._add_trace(name, progress)
        for name, trace in self._traces.items():
            trace.extend(progress.scalars.get(name, []))
        self._draw_dice(progress)
        allow(self.lines, None if self._traces else "There is no curve yet.")
        self.summary.setText(self._summary(progress))

    def show_loss(self, name: str, shown: bool) -> None:
        """Show or hide the line of one loss, in this run and in those that come."""
        self._chosen[name] = shown
        if name in self._traces:
            self._traces[name].item.setVisible(shown)
            self._actions[name].setChecked(shown)
            self._write_legend()

    def _begin(self) -> None:
        """Forget the lines of the run before, which may have had other losses."""
        for name, trace in self._traces.items():
            self.plot.removeItem(trace.item)
            self.menu.removeAction(self._actions[name])
        self._traces, self._actions = {}, {}
        for item in self._dice.values():
            self._dice_view.removeItem(item)
        self._dice = {}
        self._write_legend()

    def _add_trace(self, name: str, progress: TrainingProgress) -> None:
        taken = {trace.colour for trace in self._traces.values()}
        free = [colour for colour in OTHER_COLOURS if colour not in taken]
        colour = LOSS_COLOURS.get(name) or (free or OTHER_COLOURS)[0]
        item = self.plot.plot(pen=pg.mkPen(colour, width=2 if name == "loss" else 1))
        main = name in (*LOSS_COLOURS, *progress.unlabelled_terms)
        shown = self._chosen.get(name, main)
        item.setVisible(shown)
        self._traces[name] = _Trace(item, colour)
        action = self._checkable(WORDS.get(name, name), shown, partial(self.show_loss, name))
        action.setIcon(swatch(colour))
        self._actions[name] = action
        self._write_legend()

    def _draw_dice(self, progress: TrainingProgress) -> None:
        lines = {MEAN: progress.validation, **progress.class_dice}
        if len(progress.class_dice) == 1:
            del lines[MEAN]  # it would hide the only class
        for value, points in lines.items():
            if points and value not in self._dice:
                item = self._dice[value] = pg.PlotDataItem(symbol="o", symbolSize=5)
                self._paint_dice(value, item)
                item.setVisible(self._dice_chosen)
                self._dice_view.addItem(item)
                self._write_legend()
            if points:
                self._dice[value].setData(*zip(*points, strict=True))
        shown = bool(progress.validation) and self._dice_chosen
        self.plot.getPlotItem().showAxis("right", shown)

    def _paint_dice(self, value: int, item: pg.PlotDataItem) -> None:
        mean = value == MEAN
        colour = self._dice_colour(value)
        style = Qt.PenStyle.SolidLine if mean else Qt.PenStyle.DashLine
        item.setPen(pg.mkPen(colour, width=2 if mean else 1, style=style))
        item.setSymbolBrush(pg.mkBrush(colour))
        item.setSymbolPen(pg.mkPen(colour))
        self._write_legend()

    def _dice_colour(self, value: int) -> str:
        return self._dice_names.get(value, ("", DICE_COLOUR))[1]

    def _set_logarithmic(self, logarithmic: bool) -> None:
        self.plot.setLogMode(x=False, y=logarithmic)

    def _show_dice(self, shown: bool) -> None:
        self._dice_chosen = shown
        for item in self._dice.values():
            item.setVisible(shown)
        if self._progress is not None:
            self._draw_dice(self._progress)
        self._write_legend()

    def _write_legend(self) -> None:
        parts = [
            _entry(trace.colour, "▬", WORDS.get(name, name))
            for name, trace in self._traces.items()
            if self._chosen_or_main(name)
        ]
        for value in self._dice if self._dice_chosen else ():
            name = "mean" if value == MEAN else self._dice_names.get(value, (str(value), ""))[0]
            parts.append(_entry(self._dice_colour(value), "●", f"Dice {name}"))
        self.legend.setText(" &nbsp; ".join(parts))

    def _chosen_or_main(self, name: str) -> bool:
        return bool(self._traces[name].item.isVisible())

    def _summary(self, progress: TrainingProgress) -> str:
        if not progress.step:
            return ""
        if not progress.validation:
            return "No Dice yet: it is followed from ten labelled scans on."
        dice = progress.validation[-1][1]
        return f"Dice {dice:.2f} on labelled scans that were set aside."

    def _follow(self) -> None:
        """Keep the right-hand view on top of the plot, whose size it does not share by itself."""
        self._dice_view.setGeometry(self.plot.getPlotItem().vb.sceneBoundingRect())


def _entry(colour: str, sign: str, words: str) -> str:
    return f'<span style="color:{colour}">{sign}</span>&nbsp;{escape(words).replace(" ", "&nbsp;")}'
