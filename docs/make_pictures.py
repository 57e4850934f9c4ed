"""Make the pictures of the README: the desk on the sample brains, training and in review.

Run it where a display is, for example under ``xvfb-run -a -s '-screen 0 1600x1000x24'``; it trains
for some minutes and writes PNG files beside this script. The pictures are of the real program.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtCore import QSettings
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication

from napari_semiseg.gui.desk import TITLE, SemisegWidget
from napari_semiseg.gui.open_study.advice import PAGES
from napari_semiseg.gui.scans.study_menu import RecentStudies
from napari_semiseg.gui.session import Session

WINDOW = (1440, 900)
LARGEST_BYTES = 400_000
PATIENCE_SECONDS = 1200.0
SHOWN = "brain_07"
LATE_STEP, LATE_SHARE = 100, 0.75
MOST_PREDICTED = 6
"""Enough for a picture of the list."""


def wait(until: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Keep the window alive until something is so.

    Raises
    ------
    TimeoutError
        It did not come about in time.
    """
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError("the desk did not get there in time")
        QApplication.processEvents()
        time.sleep(0.005)


def pause(seconds: float) -> None:
    """Keep the window alive for a while."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


def picture(viewer: napari.Viewer, path: Path) -> None:
    """Write a picture of the whole window, with few enough colours to be small."""
    pause(1.0)
    viewer.screenshot(path, canvas_only=False, flash=False)
    if path.stat().st_size > LARGEST_BYTES:
        QImage(str(path)).convertToFormat(QImage.Format.Format_Indexed8).save(str(path))
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def open_desk(folder: Path, theme: str) -> tuple[napari.Viewer, SemisegWidget]:
    """Open the desk on a study of the sample brains and show one of them."""
    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    settings = QSettings(str(folder / "recent.ini"), QSettings.Format.IniFormat)
    desk = SemisegWidget(viewer, recent=RecentStudies(settings))
    viewer.window.add_dock_widget(desk, name=TITLE, area="right")
    wait(lambda: bool(desk.session.open_study.methods))
    desk.session.scans.new_sample_study(folder / "brains.semiseg")
    wait(lambda: desk.session.open_study.study is not None)
    desk.session.on_show.show(SHOWN)
    wait(lambda: desk.session.on_show.name == SHOWN)
    return viewer, desk


def has_late_preview(session: Session) -> bool:
    """Tell whether the prediction on the screen was made by a network that has learnt."""
    layer = session.on_show.layers.map_layers().get("prediction")
    started = session.training.progress.share > LATE_SHARE
    return started and layer is not None and layer.metadata["semiseg"]["step"] > LATE_STEP


def main() -> None:
    """Train on the sample brains and take a picture on the Train and on the Review page."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=4.0, help="how long to train")
    arguments.add_argument("--theme", default="dark", choices=("dark", "light"))
    arguments.add_argument("--folder", type=Path, default=Path(__file__).parent)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as place:
        viewer, desk = open_desk(Path(place), chosen.theme)
        session = desk.session
        desk.show_page(PAGES.index("Train"))
        desk.train_page.minutes.setValue(chosen.minutes)
        desk.train_page.start_training()
        desk.train_page.plan.expand()
        wait(lambda: has_late_preview(session) or not session.training.active)
        picture(viewer, chosen.folder / "training.png")
        wait(lambda: not session.training.active)
        desk.show_page(PAGES.index("Review"))
        wait(lambda: session.open_study.records.usable_run is not None)
        session.reviewing.predict_unlabelled()
        wait(
            lambda: (
                session.open_study.job is None or len(session.reviewing.cases()) >= MOST_PREDICTED
            )
        )
        session.open_study.stop_job()
        wait(lambda: not session.open_study.lane.busy)
        session.maps.show_case(SHOWN)
        wait(lambda: session.maps.run is not None)
        picture(viewer, chosen.folder / "review.png")
        viewer.close()
        session.close()


if __name__ == "__main__":
    main()
