r"""Make a picture of every map that a method shows: one sheet a method, each map over the scan.

Takes the newest run of each method in a study that has been trained already, predicts one case with
it, and shows the layers in the real viewer, one at a time, with the colours and limits that users see.

    xvfb-run -a -s '-screen 0 1600x1000x24' python docs/make_method_pictures.py STUDY CASE \
        --methods dtml ug-mcl --out docs/methods
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import napari
from make_pictures import LARGEST_BYTES, pause, wait
from napari.layers import Image, Layer
from qtpy.QtCore import QRectF, QSettings, Qt
from qtpy.QtGui import QColor, QFont, QImage, QPainter

from napari_semiseg.engine.inference.prediction import predict
from napari_semiseg.engine.study import Study
from napari_semiseg.gui.desk import TITLE, SemisegWidget
from napari_semiseg.gui.open_study.advice import PAGES
from napari_semiseg.gui.scans.study_menu import RecentStudies

TILE = 260
TEXT = 40
COLUMNS = 5
MARGIN = 8


def main() -> None:
    """Write a sheet for each method, or for every method that the study has a run of."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("study", type=Path)
    arguments.add_argument("case")
    arguments.add_argument("--methods", nargs="*")
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "methods")
    chosen = arguments.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        viewer, desk = open_desk(chosen.study, Path(place))
        for key, run in runs_of(chosen.study, chosen.methods).items():
            with Study.open(chosen.study) as study:
                list(predict(study, run, [chosen.case]))
            show(desk, chosen.case, run)
            path = chosen.out / f"{key}.png"
            save(sheet(viewer, desk), path)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
        viewer.close()
        desk.session.close()


def runs_of(folder: Path, methods: list[str] | None) -> dict[str, str]:
    """Return the newest finished run of each method by its key."""
    with Study.open(folder) as study:
        runs = {run.method: run.identifier for run in study.runs.all() if run.status == "finished"}
    wanted = runs if methods is None else {key: runs[key] for key in methods}
    return dict(sorted(wanted.items(), key=lambda item: item[1]))  # the desk shows the newest one


def open_desk(study: Path, folder: Path) -> tuple[napari.Viewer, SemisegWidget]:
    """Open the desk on a study, on the Review page."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1440, 900)
    settings = QSettings(str(folder / "recent.ini"), QSettings.Format.IniFormat)
    desk = SemisegWidget(viewer, recent=RecentStudies(settings))
    viewer.window.add_dock_widget(desk, name=TITLE, area="right")
    wait(lambda: bool(desk.session.open_study.methods))
    desk.session.open_study.open(study)
    wait(lambda: desk.session.open_study.study is not None)
    desk.show_page(PAGES.index("Review"))
    return viewer, desk


def show(desk: SemisegWidget, case: str, run: str) -> None:
    """Show a case with the maps of a run, which must be the newest that predicted it."""
    desk.session.on_show.leave()
    wait(lambda: desk.session.on_show.name is None)
    desk.session.maps.show_case(case)
    wait(lambda: desk.session.maps.run == run)
    pause(0.5)


def sheet(viewer: napari.Viewer, desk: SemisegWidget) -> QImage:
    """Draw each map over the scan, with its name and the limits of its colours."""
    maps = list(desk.session.on_show.layers.map_layers().values())
    rows = -(-len(maps) // COLUMNS)
    width = MARGIN + min(COLUMNS, len(maps)) * (TILE + MARGIN)
    picture = QImage(width, MARGIN + rows * (TILE + TEXT + MARGIN), QImage.Format.Format_RGB32)
    picture.fill(QColor("white"))
    painter = QPainter(picture)
    painter.setFont(QFont("Sans", 9))
    for index, layer in enumerate(maps):
        row, column = divmod(index, COLUMNS)
        left = MARGIN + column * (TILE + MARGIN)
        top = MARGIN + row * (TILE + TEXT + MARGIN)
        drawn = alone(viewer, layer, maps)
        painter.drawImage(QRectF(left, top, TILE, TILE), drawn)
        words = QRectF(left, top + TILE, TILE, TEXT)
        painter.drawText(
            words, Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignHCenter, name(layer)
        )
    painter.end()
    return picture


def alone(viewer: napari.Viewer, layer: Layer, maps: list[Layer]) -> QImage:
    """Take a square picture of the scan with one map."""
    for other in viewer.layers:
        other.visible = other is layer or not (other in maps or other.name.endswith(" label"))
    pause(0.1)
    canvas = viewer.screenshot(canvas_only=True, flash=False)
    side = min(canvas.shape[:2])
    top, left = ((extent - side) // 2 for extent in canvas.shape[:2])
    square = canvas[top : top + side, left : left + side].copy()
    return QImage(square.data, side, side, 4 * side, QImage.Format.Format_RGBA8888).copy()


def name(layer: Layer) -> str:
    """Name a layer with the limits of its colours."""
    if not isinstance(layer, Image):
        return layer.name
    low, high = layer.contrast_limits
    return f"{layer.name}\n{low:g} … {high:g}"


def save(picture: QImage, path: Path) -> None:
    """Write a picture with few enough colours to be small."""
    picture.save(str(path))
    if path.stat().st_size > LARGEST_BYTES:
        picture.convertToFormat(QImage.Format.Format_Indexed8).save(str(path))


if __name__ == "__main__":
    main()
