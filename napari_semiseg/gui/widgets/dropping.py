"""Files and folders that are dropped onto a page.

The Scans page and the welcome are made of it. Main thread only.
"""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget


class DropPage(QWidget):
    """A page that takes files and folders, and shows a frame while they are held over it.

    Attributes
    ----------
    dropped : Signal(object)
        The files and folders, a list of Path.
    """

    dropped = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setAcceptDrops(True)
        self._held = False

    def takes(self, paths: list[Path]) -> bool:
        """Return whether the page can do anything with these files and folders now."""
        return bool(paths)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """Welcome files and folders (Qt's name)."""
        if event is not None and self.takes(_paths(event)):
            event.acceptProposedAction()
            self._hold(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent | None) -> None:  # noqa: N802
        """Take the frame away (Qt's name)."""
        self._hold(False)
        super().dragLeaveEvent(event)

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """Tell what was dropped (Qt's name)."""
        self._hold(False)
        if event is not None and self.takes(_paths(event)):
            event.acceptProposedAction()
            self.dropped.emit(_paths(event))

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the frame (Qt's name)."""
        super().paintEvent(event)
        if self._held:
            painter = QPainter(self)
            painter.setPen(QPen(self.palette().highlight().color(), 3))
            painter.drawRect(self.rect().adjusted(1, 1, -2, -2))
            painter.end()

    def _hold(self, held: bool) -> None:
        self._held = held
        self.update()


def _paths(event: QDropEvent) -> list[Path]:
    """Return the files and folders of this computer that are dragged."""
    carried = event.mimeData()
    urls = [] if carried is None else carried.urls()
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
