"""A message on the desktop, for work that ends while the viewer is in the background.

napari shows its own messages inside its window; somebody who reads mail meanwhile sees none of them.
Where the desktop has a tray the message comes from there; elsewhere the window asks for attention in
the task bar, and napari's message waits inside it. Nothing here waits or opens a window. Main thread.
"""

from __future__ import annotations

from qtpy.QtCore import QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication, QStyle, QSystemTrayIcon, QWidget

MILLISECONDS = 10_000


def in_background(widget: QWidget) -> bool:
    """Tell whether no window of the program has the user's attention."""
    window = widget.window()
    return QApplication.activeWindow() is None or bool(window is not None and window.isMinimized())


def notify(widget: QWidget, title: str, sentence: str) -> bool:
    """Tell something on the desktop, if the program is in the background.

    Returns
    -------
    bool
        Whether a message of the desktop was shown; otherwise napari's message is all there is.
    """
    if not in_background(widget):
        return False
    QApplication.alert(widget.window())
    if not (QSystemTrayIcon.isSystemTrayAvailable() and QSystemTrayIcon.supportsMessages()):
        return False
    icon = QGuiApplication.windowIcon()
    style = widget.style()
    if icon.isNull() and style is not None:
        icon = style.standardIcon(QStyle.StandardPixmap.SP_MessageBoxInformation)
    tray = QSystemTrayIcon(icon, widget)
    tray.show()
    tray.showMessage(title, sentence, icon, MILLISECONDS)
    # without its icon the message would vanish at once; with it for ever, the tray would fill up
    QTimer.singleShot(MILLISECONDS, tray.deleteLater)
    return True
