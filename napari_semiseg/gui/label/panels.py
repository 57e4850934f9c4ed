"""The tools of the Label page: the slices and their marks, how the brush paints, the whole class.

Two groups of controls that show and change `SlicesOnShow` and `LabelTools`; the page puts
them around the buttons of the classes. Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_semiseg.gui.label.slice_strip import SliceStrip
from napari_semiseg.gui.open_study.advice import plural
from napari_semiseg.gui.viewer.slices_on_show import slice_words
from napari_semiseg.gui.widgets.controls import allow, button, caption, check, describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_semiseg.gui.label.labelling import Labelling
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.slices_on_show import SlicesOnShow

WIDEST_INTENSITY = 1e6
COARSE_CONTRAST = 50.0
"""A contrast of this width or more is chosen in whole numbers."""


class SlicePanel(QWidget):
    """The slice strip with its words and the button that marks a slice as done."""

    def __init__(self, on_show: CaseOnShow, slices: SlicesOnShow) -> None:
        super().__init__()
        self._on_show = on_show
        self._slices = slices
        self.strip = SliceStrip(slices)
        self.words = caption(faint=True)
        self.words.setAccessibleName("Slice on the screen")
        self.done = button(
            "Slice &done",
            "This slice is finished, also where it is empty: training may learn from it (D). Slices "
            "without this mark are then left out, and never taken for background.",
            slices.mark_current,
        )
        self.done.setCheckable(True)
        self.meaning = caption(faint=True)
        row = QHBoxLayout()
        row.addWidget(self.words, 1)
        row.addWidget(self.done)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.strip)
        layout.addLayout(row)
        layout.addWidget(self.meaning)
        slices.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the slices as they are now."""
        slices, case = self._slices, self._on_show.case
        reason = slices.why_not_mark()
        current = slices.current
        self.strip.refresh(reason if current is None else None)
        allow(self.done, reason)
        check(self.done, current is not None and current in slices.done)
        if current is None:
            self.words.setText("" if case is None else reason or "")
        else:
            words = slice_words(current, len(slices.painted))
            plane = f" · {slices.plane}" if slices.plane else ""
            self.words.setText(f"{words.capitalize()}{plane}")
        self.meaning.setText(self._meaning())
        self.meaning.setVisible(bool(self.meaning.text()))

    def _meaning(self) -> str:
        """Return what the marks, or that there are none, mean for training."""
        case = self._on_show.case
        if case is None:
            return ""
        if case.done_slices is not None:
            count = case.done_slices.count
            if case.done_slices.decided is not None:
                slices = f", and from the {plural(count, 'slice')} marked as done" if count else ""
                return (
                    f"Training learns from what was accepted or painted here{slices}. What nobody "
                    "decided on becomes background only when you mark the scan as labelled."
                )
            what = "1 slice is" if count == 1 else f"{count} slices are"
            return f"{what} done: training learns from no other slice of this scan."
        if self._slices.has_gaps:
            return (
                "Empty slices in between count as background: interpolate, or mark the finished "
                "slices as done."
            )
        return ""


class BrushPanel(QWidget):
    """How the brush paints: size, shape, other classes, only some intensities."""

    def __init__(self, labelling: Labelling) -> None:
        super().__init__()
        self._labelling = labelling
        self._tools = labelling.tools
        self._make_size_and_shape()
        self._make_limits()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for row in (self._size_row(), self._limit_row()):
            layout.addLayout(row)
        layout.insertWidget(1, self.protect)
        layout.insertWidget(2, self.limited)

    def _make_size_and_shape(self) -> None:
        self.diameter = QDoubleSpinBox()
        self.diameter.setRange(0.1, 200.0)
        self.diameter.setDecimals(1)
        self.diameter.setSuffix(" mm")
        self.diameter.setKeyboardTracking(False)
        describe(self.diameter, "Brush size", "Diameter of the brush in millimetres ([ and ]).")
        self.diameter.valueChanged.connect(self._labelling.set_brush_mm)
        self.slice = QRadioButton("Sli&ce")
        describe(self.slice, "Paint in the slice", "The brush paints in the slice on show (S).")
        self.ball = QRadioButton("&Ball")
        describe(self.ball, "Paint a ball", "The brush paints a ball, also in other slices (S).")
        self._shapes = QButtonGroup(self)
        for choice in (self.slice, self.ball):
            self._shapes.addButton(choice)
        self.slice.clicked.connect(lambda: self._tools.set_shape("slice"))
        self.ball.clicked.connect(lambda: self._tools.set_shape("ball"))
        self.protect = QCheckBox("Protect &other classes")
        describe(
            self.protect,
            "Protect other classes",
            "Painting and the tools leave voxels of other classes alone (B). The eraser takes any "
            "class away.",
        )
        self.protect.clicked.connect(self._tools.protect_other_classes)

    def _make_limits(self) -> None:
        self.limited = QCheckBox("Paint only these i&ntensities")
        describe(
            self.limited,
            "Paint only some intensities",
            "A stroke changes only voxels whose intensity lies from the first to the second number "
            "(W).",
        )
        self.limited.clicked.connect(self.switch_limits)
        self.lowest = self._intensity("Lowest intensity", "The darkest voxels that are painted.")
        self.highest = self._intensity("Highest intensity", "The brightest voxels painted.")
        self.from_view = button(
            "From vi&ew",
            "Take the darkest and the brightest intensity that the view tells apart: set the "
            "contrast of the scan first.",
            self._take_contrast,
        )

    def _intensity(self, name: str, tooltip: str) -> QDoubleSpinBox:
        box = QDoubleSpinBox()
        box.setRange(-WIDEST_INTENSITY, WIDEST_INTENSITY)
        box.setKeyboardTracking(False)
        # without its two buttons a long number fits; wheel and arrow keys change it all the same
        box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        box.setMinimumWidth(60)
        describe(box, name, tooltip)
        box.valueChanged.connect(self._take_limits)
        return box

    def _size_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addWidget(caption("Brush"))
        row.addWidget(self.diameter)
        row.addStretch(1)
        row.addWidget(self.slice)
        row.addWidget(self.ball)
        return row

    def _limit_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setContentsMargins(20, 0, 0, 0)
        row.addWidget(self.lowest, 1)
        row.addWidget(caption("to"))
        row.addWidget(self.highest, 1)
        row.addWidget(self.from_view)
        return row

    def refresh(self, reason: str | None) -> None:
        """Show how the brush paints; a reason tells why there is none."""
        tools = self._tools
        for control in (self.diameter, self.slice, self.ball, self.protect, self.limited):
            allow(control, reason)
        brush_mm, voxel_mm = self._labelling.brush_mm, tools.voxel_mm
        if brush_mm is not None and voxel_mm is not None and not self.diameter.hasFocus():
            self.diameter.setSingleStep(round(max(voxel_mm, 0.1), 1))
            _show(self.diameter, brush_mm)
        _choose(self.ball if tools.shape == "ball" else self.slice)
        check(self.protect, tools.protects_other_classes)
        check(self.limited, tools.limits is not None)
        unlimited = None if tools.limits else "Strokes change all intensities: tick the box first."
        for limit in (self.lowest, self.highest, self.from_view):
            allow(limit, reason or unlimited)
        if tools.limits is not None:
            self._show_limits(tools.limits)

    def _show_limits(self, limits: tuple[float, float]) -> None:
        shown = self._tools.contrast_on_show() or limits
        coarse = shown[1] - shown[0] >= COARSE_CONTRAST
        for box, value in zip((self.lowest, self.highest), limits, strict=True):
            box.setDecimals(0 if coarse else 3)
            box.setSingleStep(max((shown[1] - shown[0]) / 50, 1.0 if coarse else 0.001))
            _show(box, value)

    def switch_limits(self) -> None:
        """Limit strokes to the view's contrast, or let them change all intensities again."""
        limited = self._tools.limits is not None
        self._tools.limit_strokes(None if limited else self._tools.contrast_on_show())

    def _take_contrast(self) -> None:
        self._tools.limit_strokes(self._tools.contrast_on_show())

    def _take_limits(self) -> None:
        if self._tools.limits is not None:
            self._tools.limit_strokes((self.lowest.value(), self.highest.value()))

    def switch_shape(self) -> None:
        """Let the brush paint a ball in place of a slice, or the other way round."""
        self._tools.set_shape("slice" if self._tools.shape == "ball" else "ball")


class ClassPanel(QWidget):
    """Tools that change the whole of the selected class in one step."""

    def __init__(self, labelling: Labelling) -> None:
        super().__init__()
        self._tools = labelling.tools
        self.interpolate = self._tool(
            "Interpol&ate",
            "Fill the class between its painted slices; slices that are done stay as they are (I).",
            self._tools.interpolate,
        )
        self.keep_largest = self._tool(
            "&Keep largest",
            "Take away all parts of the class but the largest one (K).",
            self._tools.keep_largest,
        )
        self.fill_holes = self._tool(
            "Fill hole&s", "Fill what the class encloses (H).", self.fill_enclosed
        )
        self.holes = QComboBox()
        self.holes.addItems(["in each slice", "in 3D"])
        describe(
            self.holes,
            "Which holes",
            "Holes within each slice of the view, or only what is closed in all three directions.",
        )
        self.holes.currentIndexChanged.connect(lambda _: self._tools.changed.emit())
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        places = (self.interpolate, self.keep_largest, self.fill_holes, self.holes)
        for index, widget in enumerate(places):
            grid.addWidget(widget, index // 2, index % 2)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)

    def _tool(self, text: str, tooltip: str, act: Callable[[], None]) -> QAbstractButton:
        return button(text, f"{tooltip} Ctrl+Z takes it back.", act)

    def fill_enclosed(self) -> None:
        """Fill the holes that are chosen beside the button."""
        self._tools.fill_holes(self._in_3d)

    @property
    def _in_3d(self) -> bool:
        return self.holes.currentIndex() == 1

    def refresh(self, reason: str | None) -> None:
        """Say which tools can act; a reason tells why none can."""
        for tool, title in ((self.interpolate, "Interpolate"), (self.keep_largest, "Keep largest")):
            allow(tool, reason or self._tools.why_not(title))
        allow(self.fill_holes, reason or self._tools.why_not_fill(self._in_3d))
        allow(self.holes, reason)


def _show(box: QDoubleSpinBox, value: float) -> None:
    """Show a number without telling its listeners."""
    with signals_blocked(box):
        box.setValue(value)


def _choose(choice: QRadioButton) -> None:
    if not choice.isChecked():
        check(choice, True)
