"""Opening napari with the dock widget on a study, from the command line."""

from __future__ import annotations

from pathlib import Path

from napari_semiseg.engine.errors import SemisegError

PLUGIN = "napari-semiseg"
WIDGET = "Semi-supervised segmentation"


def open_viewer(study: Path) -> None:
    """Open napari, dock the widget, open ``study`` in it, and wait until the user closes it.

    Raises
    ------
    SemisegError
        No Qt binding is installed.
    """
    try:
        import napari
        import qtpy  # noqa: F401 - raises where no Qt binding is there
    except Exception as problem:
        raise SemisegError(
            "napari needs a Qt binding to open a window: pip install 'napari-semiseg[gui]'."
        ) from problem
    viewer = napari.Viewer(title="napari")
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    widget.session.open_study.open(study)
    napari.run()
