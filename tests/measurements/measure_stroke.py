"""What a stroke in a large label costs: on the main thread, in the records, and on the disk.

Makes a study of one scan of 512 × 512 × 600 voxels with a finished label, shows it through the desk's
own session without drawing, and edits it as a person does: strokes, a ball, an undo, strokes limited
to intensities, and a tool for the whole class. The time is processor time of the main thread after
napari has painted, until the edit is on the disk. Run it by hand on a machine with a display or under
xvfb; it ends with 1 where an edit takes the main thread over 10 ms, or more than one transaction.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
from measure_study_page import wait_for
from napari.components import ViewerModel
from qtpy.QtCore import QCoreApplication, QEventLoop
from qtpy.QtWidgets import QApplication

from napari_semiseg.engine.study import Study, parse_classes
from napari_semiseg.engine.study.records import Records
from napari_semiseg.gui.session import Session

LARGEST_MS = 10.0
REPETITIONS = 5


@dataclass
class Counts:
    """What was asked of the records and the disk, by any thread, since `forget`."""

    statements: list[str] = field(default_factory=list)
    forced: int = 0

    def listen(self) -> None:
        """Hear every statement and every fsync of this program from now on."""
        connect, force = Records._connect, os.fsync

        def connect_and_hear(records: Records) -> sqlite3.Connection:
            connection = connect(records)
            connection.set_trace_callback(self.statements.append)
            return connection

        def count(descriptor: int) -> None:
            self.forced += 1
            force(descriptor)

        Records._connect = connect_and_hear  # type: ignore[method-assign]
        os.fsync = count

    def forget(self) -> None:
        """Count from nothing."""
        self.statements.clear()
        self.forced = 0

    @property
    def transactions(self) -> int:
        """Writing transactions."""
        return sum(text.startswith("BEGIN") for text in self.statements)


def make_study(folder: Path, shape: tuple[int, ...]) -> Path:
    """Write a scan of noise-free slabs, z by z, and label a ball in its middle as finished."""
    scan = np.zeros(shape, np.uint8)
    scan[:, :, shape[2] // 2 :] = 100
    nibabel.save(nibabel.Nifti1Image(scan.T, np.eye(4)), folder / "large.nii")
    z, y, x = np.ogrid[tuple(slice(0, size) for size in shape)]
    middle = [size // 2 for size in shape]
    ball = (z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2 < 80**2
    with Study.create(folder / "large", parse_classes("1=ball,2=rim")) as study:
        for _ in study.scans.add_all([folder / "large.nii"]):
            pass
        study.labels.save("large", ball.astype(np.uint8), state="labelled")
        return study.path


def edits_of(session: Session) -> dict[str, Callable[[int], object]]:
    """Return what a person does, by name: each is called with the number of the repetition."""
    layer, dims = session.on_show.layers.label_layer, session.on_show.layers.dims
    assert layer is not None
    tools = session.labelling.tools
    middle = [size // 2 for size in layer.data.shape]

    def stroke(number: int) -> None:
        with layer.block_history():
            for step in range(8):
                layer.paint((middle[0], 60 + 12 * number, 60 + 4 * step), 2)

    def ball(number: int) -> None:
        tools.set_shape("ball")
        layer.paint((20, 60 + 30 * number, 60), 2)

    def coronal(number: int) -> None:
        tools.set_shape("slice")
        dims.order = (1, 0, 2)
        layer.paint((60, 20 + 10 * number, 60), 2)

    def limited(number: int) -> None:
        dims.order = (0, 1, 2)
        tools.limit_strokes((50.0, 150.0))
        corners = [(30 + number, 100, 200), (30 + number, 100, 300), (30 + number, 200, 250)]
        layer.paint_polygon(np.array(corners), 2)

    def undo(_number: int) -> None:
        tools.limit_strokes(None)
        layer.undo()

    layer.selected_label, layer.brush_size = 2, 20
    return {
        "stroke in a slice": stroke,
        "ball": ball,
        "stroke in a coronal slice": coronal,
        "polygon limited to intensities": limited,
        "undo": undo,
        "Fill holes in 3D (nothing to fill)": lambda _number: tools.fill_holes(in_3d=True),
    }


def measure(session: Session, edit: Callable[[], object]) -> tuple[float, float, float]:
    """Return ms of the main thread while napari edits, and after it, and seconds until it is saved."""
    start, worked = time.perf_counter(), time.thread_time()
    edit()
    painted = time.thread_time()
    saving, tools = session.labelling.saving, session.labelling.tools
    for _ in range(3):  # timers of zero length, also of what those start
        QCoreApplication.processEvents()
    loop = QEventLoop()
    for changed in (saving.changed, tools.changed):
        changed.connect(loop.quit, check_nargs=False)
    while saving.under_way or tools.working:
        loop.exec()  # no polling, which would count as work
    for changed in (saving.changed, tools.changed):
        changed.disconnect(loop.quit)
    after = time.thread_time() - painted
    return 1e3 * (painted - worked), 1e3 * after, time.perf_counter() - start


def main() -> int:
    """Measure, print the table, and return 1 where an edit costs too much."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(600, 512, 512), metavar="Z Y X")
    arguments = parser.parse_args()
    application = QApplication([])  # held: Qt goes with it
    counts = Counts()
    counts.listen()
    too_much = False
    with tempfile.TemporaryDirectory() as folder:
        session = Session(ViewerModel())
        session.open_study.open(make_study(Path(folder), tuple(arguments.shape)))
        wait_for(lambda: session.open_study.study is not None)
        session.on_show.show("large")
        wait_for(lambda: session.on_show.name == "large")
        print(
            "| edit | napari ms | desk ms | on the disk after s | statements | transactions | fsyncs |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for name, edit in edits_of(session).items():
            results, asked = [], []
            for number in range(REPETITIONS):
                counts.forget()
                results.append(measure(session, lambda edit=edit, number=number: edit(number)))
                asked.append((len(counts.statements), counts.transactions, counts.forced))
            napari_ms, desk_ms, seconds = np.median(results, axis=0)
            statements, transactions, forced = np.max(asked, axis=0)
            print(
                f"| {name} | {napari_ms:.1f} | {desk_ms:.1f} | {seconds:.2f} | {statements} | "
                f"{transactions} | {forced} |",
                flush=True,
            )
            too_much |= bool(desk_ms > LARGEST_MS or transactions > 1)
        session.close()
    application.quit()
    return int(too_much)


if __name__ == "__main__":
    sys.exit(main())
