"""The scans under *File > Open Sample*.

napari calls these on the main thread and waits for what they return. The brains come with the
program. The hippocampi are downloaded once and kept; meanwhile the window lives on: progress shows in
napari's activity dock, and the download can be stopped.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.study import ClassInfo
from napari_semiseg.engine.volumes import read_label, read_volume
from napari_semiseg.engine.volumes.downloads import downloaded_hippocampus, hippocampus_folder
from napari_semiseg.gui.scans.sample_studies import HIPPOCAMPUS_CLASSES, hippocampus_images
from napari_semiseg.gui.viewer.layer_data import LayerData, label_layer, scan_layers
from napari_semiseg.sample_data import CLASSES, image_path, label_path, sample_cases

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.records import JobStep

DOWNLOADING = "Downloading the hippocampus scans (27 MB)"
STOPPED = "The download was stopped: open the sample again to start it anew."


def brain() -> list[LayerData]:
    """Return the first of the sample brains and its tissue label as layers."""
    name = sample_cases()[0]
    return labelled_scan(name, image_path(name), label_path(name), CLASSES)


def hippocampus() -> list[LayerData]:
    """Return a hippocampus of the Medical Decathlon and its label, downloading the set once.

    Raises
    ------
    BadScan
        The download failed or was stopped, or the data set is not complete.
    """
    from qtpy.QtCore import QCoreApplication

    folder = downloaded_hippocampus()
    if folder is None and QCoreApplication.instance() is None:
        folder = hippocampus_folder(progress=True)  # in a script, where no window waits
    elif folder is None:
        folder = _Download().wait()
    image = hippocampus_images(folder)[0]
    name = image.name.removesuffix(".nii.gz")
    return labelled_scan(name, image, folder / "labelsTr" / image.name, HIPPOCAMPUS_CLASSES)


class _Download:
    """The download on another thread, while the event loop goes round here.

    napari takes no layers later than its call for a sample returns, so the call has to wait; it does
    so in an event loop of its own, in which the window is drawn and buttons work.
    """

    _running = False

    def __init__(self) -> None:
        from qtpy.QtCore import QCoreApplication, QEventLoop

        if _Download._running:
            raise BadScan("The hippocampus scans are being downloaded already: wait for them.")
        self._loop = QEventLoop()
        self._folder: Path | None = None
        self._problem = STOPPED
        application = QCoreApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self._loop.quit)

    def wait(self) -> Path:
        """Return the folder of the data set once it is there."""
        from napari.utils import cancelable_progress
        from napari.utils.notifications import Notification, notification_manager

        from napari_semiseg.gui.open_study.background import run_in_background

        _Download._running = True
        bar = cancelable_progress(total=100, desc=DOWNLOADING)

        def show(step: JobStep) -> None:
            bar.update(round(100 * (step.share or 0)) - bar.n)
            if bar.is_canceled:
                self._loop.quit()

        work = run_in_background(_fetch, done=self._on_done, failed=self._on_failed, progress=show)
        notification_manager.dispatch(
            Notification(
                f"{DOWNLOADING}: progress is in the activity panel, at the lower right.",
                "info",
                actions=(("Stop", lambda *_: self._loop.quit()),),
            )
        )
        try:
            self._loop.exec()
        finally:
            _Download._running = False
            work.cancel()
            bar.close()
        if self._folder is None:
            raise BadScan(self._problem)
        return self._folder

    def _on_done(self, folder: Path) -> None:
        self._folder = folder
        self._loop.quit()

    def _on_failed(self, sentence: str) -> None:
        self._problem = sentence
        self._loop.quit()


def _fetch() -> Generator[JobStep, None, Path]:
    from napari_semiseg.engine.volumes.downloads import fetch_hippocampus
    from napari_semiseg.gui.scans.sample_studies import download_steps

    return download_steps(fetch_hippocampus())


def labelled_scan(
    name: str, image: Path, label: Path, classes: tuple[ClassInfo, ...]
) -> list[LayerData]:
    """Return a scan and its label as layers.

    Parameters
    ----------
    image, label : Path
        Files of the scan and of the label on its grid.
    """
    volume = read_volume(image)
    voxels = read_label(label, scan=volume.geometry).voxels
    return [
        *scan_layers(name, volume),
        label_layer(name, voxels, volume.geometry, classes),
    ]
