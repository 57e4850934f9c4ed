"""Small parts that every page is made of: buttons, captions, and controls that say why they are off.

Each control gets a tooltip and an accessible name, so that it can be found by pointing, by keyboard
and by a screen reader. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractButton,
    QFrame,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

_TOOLTIP = "semiseg_tooltip"
SWATCH = 14
_FULL = 1000  # steps of a progress bar


def describe(widget: QWidget, name: str, tooltip: str) -> None:
    """Give a control its accessible name and its tooltip."""
    widget.setAccessibleName(name)
    widget.setAccessibleDescription(tooltip)
    widget.setToolTip(tooltip)
    widget.setProperty(_TOOLTIP, tooltip)


def button(text: str, tooltip: str, clicked: Callable[[], None]) -> QPushButton:
    """Return a push button; ``&`` in the text marks its mnemonic."""
    made = QPushButton(text)
    describe(made, text.replace("&", ""), tooltip)
    made.clicked.connect(lambda: clicked())
    return made


def allow(widget: QWidget, reason: str | None) -> None:
    """Enable a control, or disable it and say why in its tooltip.

    Parameters
    ----------
    widget : QWidget
        A control that `describe` or `button` described.
    reason : str or None
        Why it cannot act; None enables it.
    """
    widget.setEnabled(reason is None)
    tooltip = widget.property(_TOOLTIP) or ""
    widget.setToolTip(tooltip if reason is None else reason)
    widget.setAccessibleDescription(tooltip if reason is None else f"Not available: {reason}")


def check(control: QAbstractButton, checked: bool) -> None:
    """Check a button without telling its listeners."""
    with signals_blocked(control):
        control.setChecked(checked)


def caption(text: str = "", *, faint: bool = False) -> QLabel:
    """Return text that wraps at the width of the column."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    if faint:
        font = label.font()
        font.setPointSizeF(max(7.0, font.pointSizeF() * 0.9))
        label.setFont(font)
    return label


def heading(text: str) -> QLabel:
    """Return the heading of a part of a page."""
    label = caption(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def rule() -> QFrame:
    """Return a thin horizontal line."""
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFixedHeight(1)
    return line


def show_share(bar: QProgressBar, share: float | None) -> None:
    """Show how far something is, 0 to 1; None shows that it moves."""
    # by itself a progress bar draws at once, and napari's whole canvas along with it
    bar.setUpdatesEnabled(False)
    bar.setRange(0, 0 if share is None else _FULL)
    if share is not None:
        bar.setValue(round(_FULL * share))
    bar.setUpdatesEnabled(True)


def scrolling(page: QWidget) -> QScrollArea:
    """Return a page that scrolls up and down, and is never wider than its column."""
    area = _PageArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidget(page)
    return area


class _PageArea(QScrollArea):
    """Asks for the width that its page needs beside the scroll bar, which may come at any time."""

    def __init__(self) -> None:
        super().__init__()
        self._width = 0

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the least size (Qt's name)."""
        hint, page, bar = super().minimumSizeHint(), self.widget(), self.verticalScrollBar()
        if page is not None and bar is not None:
            hint.setWidth(page.minimumSizeHint().width() + bar.sizeHint().width())
        return hint

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Ask again when the page needs another width (Qt's name)."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            width = self.minimumSizeHint().width()
            if width != self._width:
                self._width = width
                self.updateGeometry()
        return super().eventFilter(watched, event)


def swatch(colour: str) -> QIcon:
    """Return a square of a colour as an icon."""
    pixmap = QPixmap(SWATCH, SWATCH)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setBrush(QColor(colour))
    painter.setPen(QColor(128, 128, 128))
    painter.drawRect(0, 0, SWATCH - 1, SWATCH - 1)
    painter.end()
    return QIcon(pixmap)


class Fold(QWidget):
    """A part of a page that is folded away until its title is pressed.

    Parameters
    ----------
    title : str
        What is inside.
    """

    def __init__(self, title: str, tooltip: str) -> None:
        super().__init__()
        self._title = title
        self._body = QWidget()
        self._content = QVBoxLayout(self._body)
        self._content.setContentsMargins(6, 4, 0, 4)
        self.switch = button(title, tooltip, lambda: self.expand(self._body.isHidden()))
        self.switch.setStyleSheet("text-align: left; padding-left: 6px;")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.switch)
        layout.addWidget(self._body)
        self.expand(False)

    @property
    def title(self) -> str:
        """What is inside."""
        return self._title

    def add(self, widget: QWidget) -> None:
        """Put a widget inside, below the others."""
        self._content.addWidget(widget)

    def expand(self, expanded: bool = True) -> None:
        """Show what is inside, or fold it away."""
        self._body.setVisible(expanded)
        self.set_title(self._title)

    def set_title(self, title: str) -> None:
        """Change the title."""
        self._title = title
        # an arrow in the text takes on the colour of napari's theme, an icon would not
        self.switch.setText(f"{'▸' if self._body.isHidden() else '▾'}  {title}")
        state = "folded" if self._body.isHidden() else "unfolded"
        self.switch.setAccessibleName(f"{title}, {state}")


def minutes_and_seconds(seconds: float) -> str:
    """Return a time such as ``"1:40"`` or ``"2:03:10"``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def how_long_ago(seconds: float) -> str:
    """Return a time in the past such as ``"12 s ago"``, ``"5 min ago"`` or ``"3 h ago"``."""
    if seconds < 2:
        return "just now"
    if seconds < 90:
        return f"{seconds:.0f} s ago"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min ago"
    return f"{seconds / 3600:.0f} h ago"
