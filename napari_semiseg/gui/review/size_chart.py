"""The size chart: how large a structure is along a scan, and where its size is not plausible.

Shows a `SizeProfile`: the band that sizes are expected in, the expected, predicted and labelled size,
and the positions that leave the band. A click or the arrow keys choose a slice. Drawn with pyqtgraph
in the colours of napari's theme. Main thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QEvent, QObject, QPointF, Qt, Signal
from qtpy.QtGui import QColor, QCursor, QFocusEvent, QKeyEvent
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QToolTip, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_semiseg.engine.study import ClassInfo
from napari_semiseg.gui.widgets.controls import caption, describe, swatch

if TYPE_CHECKING:
    from napari_semiseg.engine.inference.size_profile import SizeProfile

HEIGHT = 190
EXPECTED_COLOUR = "#8a8f99"  # no class is grey
BAND_OPACITY = 90  # of 255
VIOLATION_COLOUR = "#d55e00"
MARKS_WIDTH = 300
"""Pixels that marks at all positions may take together before they get smaller."""
LARGEST_MARK, SMALLEST_MARK = 11, 6
LEFT_AXIS_WIDTH = 52
VERDICTS = {-1: "too small", 0: "plausible", 1: "too large"}
KEYS = "Left and right keys go from mark to mark."
HELP = (
    "Size of a structure along the scan: expected (dashed, in its grey band) and predicted (solid). "
    "Triangles mark where the prediction looks too small or too large. Click to go to a slice. "
    f"{KEYS}"
)


class SizeChart(QWidget):
    """Sizes of one structure at a time along a scan.

    Parameters
    ----------
    parent : QWidget or None
        Qt's owner.
    """

    slice_chosen = Signal(int)
    """The slice of the scan, along `SizeProfile.axis`, that was clicked or walked to."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._profile: SizeProfile | None = None
        self._classes: dict[int, ClassInfo] = {}
        self._slice: int | None = None
        self._text_colour = "#808080"
        self.structure = QComboBox()
        describe(self.structure, "Structure", "Which structure's sizes are shown.")
        # a long name must not make the column wider than it is
        self.structure.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.structure.setMinimumContentsLength(8)
        self.structure.currentIndexChanged.connect(self._draw)
        self.summary = caption(faint=True)
        self._make_plot()
        self._choice = QWidget()
        row = QHBoxLayout(self._choice)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(caption("Sizes of"))
        row.addWidget(self.structure, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._choice)
        layout.addWidget(self.plot)
        layout.addWidget(self.summary)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        describe(self, "Size chart", HELP)
        self.show_profile(None, ())

    def _make_plot(self) -> None:
        self.plot = pg.PlotWidget(enableMenu=False)
        self.plot.setFixedHeight(HEIGHT)
        self.plot.setMouseEnabled(False, False)
        self.plot.hideButtons()
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the arrow keys are the chart's
        self.plot.setAccessibleName("Sizes along the scan")
        item = self.plot.getPlotItem()
        # Several units fit one scale badly: pyqtgraph would write mmm² for 1000 mm².
        item.getAxis("left").enableAutoSIPrefix(False)
        item.getAxis("bottom").enableAutoSIPrefix(False)
        item.getAxis("left").setWidth(LEFT_AXIS_WIDTH)
        for name in ("left", "bottom"):
            item.getAxis(name).setStyle(maxTickLevel=0)  # the small ticks are a grey bar at 360 px
        self._lower, self._upper = pg.PlotDataItem(), pg.PlotDataItem()
        colour = QColor(EXPECTED_COLOUR)
        colour.setAlpha(BAND_OPACITY)
        self._band = pg.FillBetweenItem(self._lower, self._upper, brush=pg.mkBrush(colour))
        dashed = pg.mkPen(EXPECTED_COLOUR, width=1.5, style=Qt.PenStyle.DashLine)
        self._expected = pg.PlotDataItem(pen=dashed)
        self._true, self._predicted = pg.PlotDataItem(), pg.PlotDataItem()
        self._violations = pg.ScatterPlotItem()
        self._here = pg.InfiniteLine(angle=90)
        self._here.hide()
        for part in (
            self._band, self._expected, self._true, self._predicted, self._violations, self._here,
        ):  # fmt: skip
            item.addItem(part)
        self.plot.scene().sigMouseClicked.connect(self._on_click)
        self.plot.viewport().installEventFilter(self)

    def set_colours(self, background: str, text: str) -> None:
        """Take on the colours of a theme, as ``"#rrggbb"``."""
        self._text_colour = text
        self.plot.setBackground(background)
        for name in ("left", "bottom"):
            axis = self.plot.getPlotItem().getAxis(name)
            axis.setPen(text)
            axis.setTextPen(text)
        faint = QColor(text)
        faint.setAlpha(120)
        self._here.setPen(pg.mkPen(faint, width=1))
        self._draw()

    def show_profile(self, profile: SizeProfile | None, classes: Sequence[ClassInfo]) -> None:
        """Show the sizes of a scan, or with None that there are none."""
        chosen = self.structure.currentData()
        self._profile, self._classes = profile, {info.value: info for info in classes}
        self._slice = None
        self._here.hide()
        with signals_blocked(self.structure):
            self.structure.clear()
            for value in profile.class_values if profile is not None else ():
                info = self._classes.get(value)
                if info is None:
                    self.structure.addItem(f"class {value}", value)
                else:
                    self.structure.addItem(swatch(info.colour), info.name, value)
            self.structure.setCurrentIndex(max(0, self.structure.findData(chosen)))
        self._choice.setVisible(self.structure.count() > 1)
        self._draw()

    def show_slice(self, index: int | None) -> None:
        """Mark the slice that the viewer shows, or with None that it shows none of them."""
        self._slice = index
        self._here.setVisible(self._profile is not None and index is not None)
        if index is not None:
            self._here.setValue(index)

    def violating_slices(self) -> list[int]:
        """Return the slices at which the structure that is shown leaves its band, in order."""
        if self._profile is None:
            return []
        return [int(n) for n in self._profile.slices[self._verdicts() != 0]]

    def describe_slice(self, index: int) -> str:
        """Return in words what is known of the sizes at the position nearest to a slice."""
        profile = self._profile
        if profile is None:
            return ""
        place = int(np.abs(profile.slices - index).argmin())
        row, unit = self._row, profile.unit
        first, last = (int(n) for n in profile.ranges[place])
        where = f"Slice {first}" if first == last else f"Slices {first} to {last}"
        predicted = profile.predicted[row, place]
        low, high = profile.lower[row, place], profile.upper[row, place]
        digits = _digits(max(float(profile.upper[row].max()), float(profile.predicted[row].max())))
        lines = [
            f"{where}: {VERDICTS[int(self._verdicts()[place])]}",
            f"predicted {predicted:.{digits}f} {unit}",
            f"expected {low:.{digits}f} to {high:.{digits}f} {unit}",
        ]
        if profile.true is not None:
            lines.append(f"labelled {profile.true[row, place]:.{digits}f} {unit}")
        return "\n".join(lines)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802, D102
        if event is None or event.key() not in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            super().keyPressEvent(event)
            return
        forward = event.key() == Qt.Key.Key_Right
        places = self.violating_slices()
        here = self._slice
        if here is None:
            beyond = places if forward else places[::-1]
        elif forward:
            beyond = [place for place in places if place > here]
        else:
            beyond = [place for place in reversed(places) if place < here]
        if beyond:
            self._choose(beyond[0])

    def focusInEvent(self, event: QFocusEvent | None) -> None:  # noqa: N802, D102
        super().focusInEvent(event)
        self.plot.getPlotItem().getViewBox().setBorder(pg.mkPen(self._text_colour))

    def focusOutEvent(self, event: QFocusEvent | None) -> None:  # noqa: N802, D102
        super().focusOutEvent(event)
        self.plot.getPlotItem().getViewBox().setBorder(None)

    @property
    def _row(self) -> int:
        return max(0, self.structure.currentIndex())

    @property
    def _by_slice(self) -> bool:
        assert self._profile is not None
        return bool((np.diff(self._profile.ranges) == 0).all())

    def _verdicts(self) -> np.ndarray:
        assert self._profile is not None
        row: np.ndarray = self._profile.verdicts[self._row]
        return row

    def _choose(self, index: int) -> None:
        self.show_slice(index)
        self.slice_chosen.emit(index)

    def _on_click(self, event: Any) -> None:
        index = self._slice_at(event.scenePos())
        if index is not None and event.button() == Qt.MouseButton.LeftButton:
            self.setFocus(Qt.FocusReason.MouseFocusReason)
            self._choose(index)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Tell what is known of the slice under the pointer, in place of what the chart is (Qt's name).

        While the pointer moves it follows at once; pyqtgraph would blank it as soon as it rests.
        """
        if event is None or event.type() not in (QEvent.Type.MouseMove, QEvent.Type.ToolTip):
            return super().eventFilter(watched, event)
        index = self._slice_at(self.plot.mapToScene(event.pos()))  # type: ignore[attr-defined]
        if index is None:
            return super().eventFilter(watched, event)
        QToolTip.showText(QCursor.pos(), self._tip(index), self.plot)
        return event.type() == QEvent.Type.ToolTip

    def _tip(self, index: int) -> str:
        words = self.describe_slice(index)
        return f"{words}\n{KEYS}" if self.violating_slices() else words

    def _slice_at(self, position: QPointF) -> int | None:
        """Return the slice of the position of the profile that is nearest to a point of the scene."""
        view = self.plot.getPlotItem().getViewBox()
        if self._profile is None or not view.sceneBoundingRect().contains(position):
            return None
        along = view.mapSceneToView(position).x()
        return int(self._profile.slices[np.abs(self._profile.slices - along).argmin()])

    def _draw(self) -> None:
        profile, row = self._profile, self._row
        self.summary.setText(self._summary())
        for name in ("left", "bottom"):
            self.plot.getPlotItem().showAxis(name, profile is not None)
        if profile is None:
            for part in (self._lower, self._upper, self._expected, self._true, self._predicted):
                part.setData([], [])
            self._violations.setData([], [])
            return
        info = self._classes.get(profile.class_values[row])
        colour = info.colour if info is not None else self._text_colour
        dotted = pg.mkPen(self._text_colour, width=1.5, style=Qt.PenStyle.DotLine)
        self._line(self._lower, profile.lower[row])
        self._line(self._upper, profile.upper[row])
        self._line(self._expected, np.maximum(profile.regressed[row], 0))
        self._line(self._predicted, profile.predicted[row])
        self._predicted.setPen(pg.mkPen(colour, width=2.5))
        self._line(self._true, None if profile.true is None else profile.true[row])
        self._true.setPen(dotted)
        verdicts = self._verdicts()
        wrong = verdicts != 0
        self._violations.setData(
            x=profile.slices[wrong],
            y=profile.predicted[row][wrong],
            symbol=["t1" if verdict > 0 else "t" for verdict in verdicts[wrong]],
            size=min(max(MARKS_WIDTH // len(verdicts), SMALLEST_MARK), LARGEST_MARK),
            brush=pg.mkBrush(VIOLATION_COLOUR),
            pen=pg.mkPen(self._text_colour, width=1),
        )
        item = self.plot.getPlotItem()
        item.setLabel("left", f"size ({profile.unit})")
        single = self._by_slice or len(profile.slices) == 1
        item.setLabel("bottom", "slice" if single else "middle slice")
        self._fit(row)

    def _line(self, part: pg.PlotDataItem, sizes: np.ndarray | None) -> None:
        """Draw sizes along the scan; a single position becomes a line over its slices."""
        assert self._profile is not None
        if sizes is None:
            part.setData([], [])
        elif len(sizes) == 1:
            part.setData(self._profile.ranges[0] + np.array([-0.5, 0.5]), np.repeat(sizes, 2))
        else:
            part.setData(self._profile.slices, sizes)

    def _fit(self, row: int) -> None:
        """Show the whole scan, and sizes from 0 on with room for the marks."""
        profile = self._profile
        assert profile is not None
        sizes = [profile.upper[row], profile.predicted[row]]
        sizes += [] if profile.true is None else [profile.true[row]]
        highest = max(float(np.max(each)) for each in sizes)
        single = len(profile.slices) == 1
        along = profile.ranges[0] if single else profile.slices[[0, -1]]
        plot = self.plot.getPlotItem()
        plot.setXRange(along[0] - 0.5, along[1] + 0.5, padding=0.02)
        plot.setYRange(0, 1.1 * max(highest, profile.negligible), padding=0.02)

    def _summary(self) -> str:
        profile = self._profile
        if profile is None:
            return "No sizes yet."
        parts = ["Grey: expected. Solid: predicted."]
        if profile.true is not None:
            parts.append("Dotted: your label.")
        verdicts = self._verdicts()
        what = "slice" if self._by_slice else "part"
        what += "s" if len(verdicts) != 1 else ""
        marked = [(int((verdicts < 0).sum()), "too small (▼)")]
        marked += [(int((verdicts > 0).sum()), "too large (▲)")]
        words = [f"{n} look{'s' if n == 1 else ''} {sign}" for n, sign in marked if n]
        if words:
            parts.append(f"Of {len(verdicts)} {what}, {' and '.join(words)}.")
        else:
            parts.append(f"No size of {len(verdicts)} {what} stands out.")
        return " ".join(parts)


def _digits(largest: float) -> int:
    """Return how many decimals show three figures of the largest size."""
    return 0 if largest >= 100 else 1 if largest >= 10 else 2
