"""Box plots of the held-out scans: a box for each run, and over it a dot for each scan.

A click on a dot chooses its scan; the scan on the screen is ringed in every box, and a line follows it
from run to run. Runs are told apart by letter and place as well as by colour. Drawn with pyqtgraph in
the colours of napari's theme. Main thread only.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QEvent, QObject, QPointF, Qt, Signal
from qtpy.QtGui import QColor, QCursor
from qtpy.QtWidgets import QToolTip, QVBoxLayout, QWidget

from napari_semiseg.gui.widgets.controls import describe

HEIGHT = 200
LETTER_HEIGHT = 22
BOX_WIDTH = 0.56
SPREAD = 0.36
"""Width over which the dots of a box are scattered, so that equal scores do not hide each other."""

DOT_SIZE, RING_SIZE = 7, 13
REACH = 9.0
"""A pointer this many pixels from a dot is on it."""

FEWEST_FOR_A_BOX = 4
"""With fewer scans quartiles say nothing, and the dots stand alone."""

WHISKER = 1.5
HELP = (
    "A dot is a held-out scan; click it to open the scan with both predictions. A box spans the middle "
    "half of the scans, and its line is the median."
)


@dataclass(frozen=True)
class BoxGroup:
    """The scores of a run.

    Attributes
    ----------
    letter, name, colour : str
        By which the run is told from the others; the colour as ``"#rrggbb"``.
    scores : mapping of str to float
        Score of each scan in which it is defined.
    """

    letter: str
    name: str
    colour: str
    scores: Mapping[str, float]


@dataclass(frozen=True)
class _Dot:
    """A scan in a box."""

    case: str
    group: int
    x: float
    y: float


def whiskers(scores: Sequence[float]) -> tuple[float, float, float, float, float]:
    """Return the lower whisker, the three quartiles and the upper whisker of scores.

    Parameters
    ----------
    scores : sequence of float
        At least one. Whiskers reach the farthest score within 1.5 times the quartiles' distance.
    """
    values = np.asarray(scores, dtype=float)
    low, middle, high = np.percentile(values, (25, 50, 75))
    reach = WHISKER * (high - low)
    inside = values[(values >= low - reach) & (values <= high + reach)]
    # interpolated quartiles may lie beyond every score that is inside
    return min(inside.min(), low), low, middle, high, max(inside.max(), high)


class BoxPlot(QWidget):
    """Scores of a few runs on the same scans.

    Parameters
    ----------
    parent : QWidget or None
        Qt's owner.

    Attributes
    ----------
    case_chosen : Signal(str)
        Name of the scan whose dot was clicked.
    """

    case_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._groups: tuple[BoxGroup, ...] = ()
        self._dots: list[_Dot] = []
        self._case: str | None = None
        self._digits, self._unit = 2, ""
        self._text = "#808080"
        self._make_plot()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        describe(self, "Box plots", HELP)

    def _make_plot(self) -> None:
        self.plot = pg.PlotWidget(enableMenu=False)
        self.plot.setFixedHeight(HEIGHT)
        self.plot.setMouseEnabled(False, False)
        self.plot.hideButtons()
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the list of scans serves the keyboard
        self.plot.setAccessibleName("Box plots")
        item = self.plot.getPlotItem()
        item.getAxis("left").enableAutoSIPrefix(False)
        item.getAxis("bottom").setStyle(tickLength=0)
        item.getAxis("bottom").setHeight(LETTER_HEIGHT)
        self._boxes = pg.BarGraphItem(x=[], height=[], width=BOX_WIDTH)
        self._lines = pg.PlotDataItem(connect="pairs")
        self._medians = pg.PlotDataItem(connect="pairs")
        self._path = pg.PlotDataItem()
        self._scatter = pg.ScatterPlotItem(size=DOT_SIZE)
        self._rings = pg.ScatterPlotItem(size=RING_SIZE, brush=None)
        self._parts = (
            self._boxes, self._lines, self._medians, self._path, self._scatter, self._rings,
        )  # fmt: skip
        for part in self._parts:
            item.addItem(part)
        self.plot.scene().sigMouseClicked.connect(self._on_click)
        self.plot.viewport().installEventFilter(self)

    def set_colours(self, background: str, text: str) -> None:
        """Take on the colours of a theme, as ``"#rrggbb"``."""
        self._text = text
        self.plot.setBackground(background)
        for name in ("left", "bottom"):
            axis = self.plot.getPlotItem().getAxis(name)
            axis.setPen(text)
            axis.setTextPen(text)
        self._draw()

    def show_groups(
        self, groups: Sequence[BoxGroup], heading: str, digits: int, unit: str = ""
    ) -> None:
        """Show the scores of runs."""
        self._groups, self._digits, self._unit = tuple(groups), digits, unit
        self._dots = [
            _Dot(case, number, number + _place(case), float(value))
            for number, group in enumerate(self._groups)
            for case, value in group.scores.items()
        ]
        item = self.plot.getPlotItem()
        item.setLabel("left", heading)
        item.getAxis("bottom").setTicks([[(n, g.letter) for n, g in enumerate(self._groups)]])
        self._draw()

    def show_case(self, case: str | None) -> None:
        """Ring the dots of the scan on the screen; None rings none."""
        self._case = case
        self._draw_case()

    def describe_dot(self, case: str, group: int) -> str:
        """Return in words what a dot stands for."""
        run = self._groups[group]
        value = f"{run.scores[case]:.{self._digits}f} {self._unit}".strip()
        return f"{case}\n{run.letter} · {run.name}: {value}\nClick to open the scan."

    def _draw(self) -> None:
        boxes = [
            (number, group.colour, *whiskers(list(group.scores.values())))
            for number, group in enumerate(self._groups)
            if len(group.scores) >= FEWEST_FOR_A_BOX
        ]
        self._boxes.setVisible(bool(boxes))
        if boxes:  # pyqtgraph cannot draw no bars
            self._boxes.setOpts(
                x=[box[0] for box in boxes],
                y0=[box[3] for box in boxes],
                height=[box[5] - box[3] for box in boxes],
                brushes=[_faint(box[1]) for box in boxes],
                pens=[pg.mkPen(self._text) for _ in boxes],
            )
        half = BOX_WIDTH / 2
        self._lines.setData(
            [box[0] for box in boxes for _ in range(4)],
            [end for box in boxes for end in (box[2], box[3], box[5], box[6])],
            pen=pg.mkPen(self._text),
        )
        self._medians.setData(
            [box[0] + side for box in boxes for side in (-half, half)],
            [box[4] for box in boxes for _ in range(2)],
            pen=pg.mkPen(self._text, width=2.5),
        )
        self._scatter.setData(
            x=[dot.x for dot in self._dots],
            y=[dot.y for dot in self._dots],
            brush=[pg.mkBrush(self._groups[dot.group].colour) for dot in self._dots],
            pen=pg.mkPen(self._text, width=0.5),
        )
        self._draw_case()
        self._fit()

    def _draw_case(self) -> None:
        here = [dot for dot in self._dots if dot.case == self._case]
        points = {"x": [dot.x for dot in here], "y": [dot.y for dot in here]}
        self._rings.setData(**points, pen=pg.mkPen(self._text, width=2))
        self._path.setData(**points, pen=pg.mkPen(self._text, style=Qt.PenStyle.DotLine))

    def _fit(self) -> None:
        item = self.plot.getPlotItem()
        item.setXRange(-0.5, max(len(self._groups), 1) - 0.5, padding=0)
        if self._dots:
            values = [dot.y for dot in self._dots]
            item.setYRange(min(values), max(values), padding=0.08)

    def _on_click(self, event: Any) -> None:
        dot = self._dot_at(event.scenePos())
        if dot is not None and event.button() == Qt.MouseButton.LeftButton:
            self.case_chosen.emit(dot.case)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Tell what the dot under the pointer is, in place of what the plot is (Qt's name)."""
        if event is None or event.type() not in (QEvent.Type.MouseMove, QEvent.Type.ToolTip):
            return super().eventFilter(watched, event)
        dot = self._dot_at(self.plot.mapToScene(event.pos()))  # type: ignore[attr-defined]
        self.plot.viewport().setCursor(
            Qt.CursorShape.ArrowCursor if dot is None else Qt.CursorShape.PointingHandCursor
        )
        if dot is None:
            return super().eventFilter(watched, event)
        QToolTip.showText(QCursor.pos(), self.describe_dot(dot.case, dot.group), self.plot)
        return event.type() == QEvent.Type.ToolTip

    def _dot_at(self, position: QPointF) -> _Dot | None:
        """Return the dot that is nearest to a point of the scene, if one is near."""
        view = self.plot.getPlotItem().getViewBox()
        if not self._dots or not view.sceneBoundingRect().contains(position):
            return None

        def distance(dot: _Dot) -> float:
            away = view.mapViewToScene(QPointF(dot.x, dot.y)) - position
            return float(np.hypot(away.x(), away.y()))

        nearest = min(self._dots, key=distance)
        return nearest if distance(nearest) <= REACH else None


def _place(case: str) -> float:
    """Return where in its box a scan's dot lies: the same place in every box, whatever its score."""
    return SPREAD * (zlib.crc32(case.encode()) / 2**32 - 0.5)


def _faint(colour: str) -> QColor:
    faint = QColor(colour)
    faint.setAlpha(70)
    return faint
