"""The stage of the scripted session: the viewer with the desk, and what all acts share.

Used by `docs.make_session` and the acts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import napari
from qtpy.QtCore import QCoreApplication, QSettings, Qt

from docs.session.camera import Camera
from docs.session.hands import Hands
from napari_semiseg.gui.desk import TITLE, SemisegWidget
from napari_semiseg.gui.open_study.advice import PAGES
from napari_semiseg.gui.scans.study_menu import RecentStudies
from napari_semiseg.gui.session import Session
from napari_semiseg.gui.widgets.case_table import CaseTable
from tests.measurements.event_loop_lag import LagMeter, run_event_loop, wait_until

WINDOW = (1280, 800)
PATIENCE_SECONDS = 600.0


@dataclass
class Stage:
    """What the acts of the session share.

    Attributes
    ----------
    desk : SemisegWidget
        The dock widget, which is only looked at and pressed.
    hands : Hands
        Mouse and keyboard.
    camera : Camera
        Pictures.
    meter : LagMeter
        Pauses while the script itself computes.
    scans : list of Path
        The scans of the study.
    labels : Path
        The folder with the label of each.
    folder : Path
        Where study and export go.
    minutes : float
        How long the first run trains.
    """

    desk: SemisegWidget
    hands: Hands
    camera: Camera
    meter: LagMeter
    scans: list[Path]
    labels: Path
    folder: Path
    minutes: float

    @property
    def session(self) -> Session:
        """What is recorded and under way."""
        return self.desk.session

    @property
    def names(self) -> list[str]:
        """Names of the scans."""
        return [path.name.split(".")[0] for path in self.scans]

    def turn_to(self, page: str) -> None:
        """Press a step of the path."""
        self.hands.click(self.desk.steps.buttons[PAGES.index(page)])

    def settle(self) -> None:
        """Wait until everything is recorded."""
        session = self.session
        self.wait(
            lambda: (
                session.open_study.job is None
                and not session.open_study.lane.busy
                and not session.labelling.saving.under_way
            ),
            "the end of the work",
        )

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what the desk is doing."""
        wait_until(condition, PATIENCE_SECONDS, what)

    def open_from_list(self, name: str) -> None:
        """Double-click a scan in the list of the Scans page."""
        table = self.desk.scans_page.table
        self.hands.click_row(table, row_of(table, name), twice=True)
        self.wait(lambda: self.session.on_show.name == name, f"the scan {name}")


def row_of(table: CaseTable, name: str) -> int:
    """Return the row of a scan in a list."""
    model = table.model()
    rows = range(model.rowCount())
    return next(r for r in rows if model.index(r, 0).data(Qt.ItemDataRole.DisplayRole) == name)


def open_the_desk(folder: Path) -> tuple[napari.Viewer, SemisegWidget]:
    """Open the real viewer with the desk docked in it."""
    QCoreApplication.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*WINDOW)
    settings = QSettings(str(folder / "recent.ini"), QSettings.Format.IniFormat)
    desk = SemisegWidget(viewer, recent=RecentStudies(settings))
    viewer.window.add_dock_widget(desk, name=TITLE, area="right")
    wait_until(lambda: bool(desk.session.open_study.methods), PATIENCE_SECONDS, "the methods")
    run_event_loop(1.0)
    return viewer, desk
