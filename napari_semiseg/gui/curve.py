"""The live curve of a training run: losses on the left axis, Dice of the cases set aside on the right.

Part of the Train page. Losses are smoothed, because a step sees only a crop or two. Drawn with
pyqtgraph in the colours of napari's theme. Main thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_semiseg.gui.controls import caption

if TYPE_CHECKING:
    from napari_semiseg.gui.training_desk import TrainingProgress

LOSS_COLOURS = {"loss": "#56b4e9", "supervised": "#8a8f99", "consistency": "#cc79a7"}
DICE_COLOUR = "#e69f00"
MOST_POINTS = 1000
SMOOTHING = 0.95
HEIGHT = 190


class _Trace:
    """One smoothed loss; only the steps that are new are worked on."""

    def __init__(self, item: pg.PlotDataItem) -> None:
        self.item = item
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
        self.plot = pg.PlotWidget(enableMenu=False)
        self.plot.setFixedHeight(HEIGHT)
        self.plot.setMouseEnabled(False, False)
        self.plot.hideButtons()
        self.plot.setAccessibleName("Learning curve")
        self.plot.setToolTip(
            "Error of the network on the crops it learns from (left, smoothed) and overlap with "
            "your labels on the scans set aside (Dice, right, 1 is perfect)."
        )
        item = self.plot.getPlotItem()
        item.setLabel("bottom", "step")
        item.setLabel("left", "loss")
        item.showAxis("right")
        item.setLabel("right", "Dice")
        self._dice_view = pg.ViewBox(enableMenu=False, enableMouse=False)
        item.scene().addItem(self._dice_view)
        item.getAxis("right").linkToView(self._dice_view)
        self._dice_view.setXLink(item)
        self._dice_view.setYRange(0, 1, padding=0.02)
        item.vb.sigResized.connect(self._follow)
        self._traces = {
            name: _Trace(self.plot.plot(pen=pg.mkPen(colour, width=2 if name == "loss" else 1)))
            for name, colour in LOSS_COLOURS.items()
        }
        self._dice = pg.PlotDataItem(
            pen=pg.mkPen(DICE_COLOUR, width=2), symbol="o", symbolSize=5, symbolBrush=DICE_COLOUR
        )
        self._dice_view.addItem(self._dice)
        self.summary = caption(faint=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        layout.addWidget(self.summary)

    def set_colours(self, background: str, text: str) -> None:
        """Take on the colours of a theme, as ``"#rrggbb"``."""
        self.plot.setBackground(background)
        for name in ("left", "bottom", "right"):
            axis = self.plot.getPlotItem().getAxis(name)
            axis.setPen(text)
            axis.setTextPen(text)

    def show_progress(self, progress: TrainingProgress) -> None:
        """Draw what is new in a run."""
        for name, trace in self._traces.items():
            trace.extend(progress.scalars.get(name, []))
        steps = [step for step, _ in progress.validation]
        values = [value for _, value in progress.validation]
        self._dice.setData(steps, values)
        self.plot.getPlotItem().showAxis("right", bool(values))
        self.summary.setText(self._summary(progress))

    def _summary(self, progress: TrainingProgress) -> str:
        if not progress.step:
            return ""
        parts = ["Blue: loss."]
        if progress.scalars.get("consistency"):
            parts.append("Grey: labelled scans. Pink: agreement on unlabelled scans.")
        if progress.validation:
            dice = progress.validation[-1][1]
            parts.append(f"Orange: Dice {dice:.2f} on labelled scans that were set aside.")
        else:
            parts.append("No Dice yet: it is followed from ten labelled scans on.")
        return " ".join(parts)

    def _follow(self) -> None:
        """Keep the right-hand view on top of the plot, whose size it does not share by itself."""
        self._dice_view.setGeometry(self.plot.getPlotItem().vb.sceneBoundingRect())
