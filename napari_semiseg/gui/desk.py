"""The dock widget: the header, the path of five steps, the page, the run strip and the status line.

napari makes it from the plugin's manifest and hands it the viewer. It joins the parts and nothing
more; what the desk does is in the parts of the session. Main thread only.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from napari.utils.theme import get_theme
from qtpy.QtCore import QCoreApplication, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QMainWindow,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_semiseg.gui.compare.page import ComparePage
from napari_semiseg.gui.frame.run_strip import RunStrip
from napari_semiseg.gui.frame.status_line import StatusLine
from napari_semiseg.gui.frame.step_bar import StepBar
from napari_semiseg.gui.label.page import LabelPage
from napari_semiseg.gui.open_study.advice import PAGES, next_step
from napari_semiseg.gui.open_study.background import make_room_for_threads
from napari_semiseg.gui.open_study.short_collections import ShortCollections
from napari_semiseg.gui.review.page import ReviewPage
from napari_semiseg.gui.scans.page import ScansPage
from napari_semiseg.gui.scans.study_menu import RecentStudies, StudyMenu
from napari_semiseg.gui.scans.welcome import WelcomePage
from napari_semiseg.gui.session import Session
from napari_semiseg.gui.train.page import TrainPage
from napari_semiseg.gui.viewer.planes.three_views import ThreeViews
from napari_semiseg.gui.viewer.viewer_keys import ViewerKeys
from napari_semiseg.gui.widgets.controls import allow, button, caption, check, rule, scrolling

TITLE = "Semi-supervised segmentation"
NARROWEST = 340
MARGIN = 8

if TYPE_CHECKING:
    import napari.viewer


class SemisegWidget(QWidget):
    """Everything that the desk shows, in one narrow column.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Where cases are shown; napari passes it.
    recent : RecentStudies, optional
        The studies that were opened last.

    Attributes
    ----------
    session : Session
        The state and the verbs.
    """

    def __init__(
        self,
        napari_viewer: napari.viewer.Viewer,
        recent: RecentStudies | None = None,
        session: Session | None = None,
    ) -> None:
        super().__init__()
        self.setWindowTitle(TITLE)
        make_room_for_threads()
        self._viewer = napari_viewer
        self.session = session or Session(napari_viewer)
        self._collections = ShortCollections()
        self._keys = ViewerKeys(napari_viewer, self.session.on_show.layers)
        self._recent = recent or RecentStudies()
        self.views = ThreeViews(napari_viewer, self.session.on_show, self._recent.settings)
        self._page = 0
        self._make_parts()
        self._lay_out()
        self._listen()
        # a docked widget is never told that it closes; being destroyed or the program's end is
        self._finalizer = weakref.finalize(self, _close, self.session, self._keys, self.views)
        self.destroyed.connect(self._finalizer)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._finalizer)
        self._on_theme()
        self.show_page(0)
        QTimer.singleShot(0, self.session.open_study.load_engine)

    def _make_parts(self) -> None:
        session = self.session
        opened, on_show = session.open_study, session.on_show
        self.menu = StudyMenu(opened, session.scans, self._recent)
        self.linked = button(
            "⊞ 3 views",
            "Show axial, coronal and sagittal at the crosshair, linked (T on the image). Shift and "
            "the pointer move the crosshair.",
            self.views.toggle,
        )
        self.linked.setAccessibleName("Linked views")
        self.linked.setCheckable(True)
        self.linked.setMinimumHeight(28)
        self.steps = StepBar(opened, session.training)
        self.advice = caption()
        self.advice.setAccessibleName("What to do next")
        self.scans_page = ScansPage(opened, on_show, session.scans, session.overview)
        self.label_page = LabelPage(opened, on_show, session.labelling, session.suggesting)
        self.train_page = TrainPage(opened, on_show, session.maps, session.training)
        self.review_page = ReviewPage(
            opened, on_show, session.maps, session.slices, session.reviewing
        )
        self.compare_page = ComparePage(opened, session.comparing, lambda: session.training.active)
        self.welcome_page = WelcomePage(opened, session.scans, self._recent)
        self.pages = QStackedWidget()
        self.pages.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        for page in (
            self.scans_page, self.label_page, self.train_page, self.review_page, self.compare_page,
        ):  # fmt: skip
            self.pages.addWidget(scrolling(page))
        self.pages.addWidget(scrolling(self.welcome_page))
        self.strip = RunStrip(opened, session.training)
        self.status = StatusLine(opened, session.labelling, session.training)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, 6, MARGIN, 6)
        layout.setSpacing(6)
        # not the widget's own minimum, which would overrule what the steps and the pages need
        layout.addStrut(NARROWEST - 2 * MARGIN)
        header = QHBoxLayout()
        header.setSpacing(4)
        header.addWidget(self.menu, 1)
        header.addWidget(self.linked)
        layout.addLayout(header)
        layout.addWidget(self.steps)
        layout.addWidget(self.advice)
        layout.addWidget(rule())
        layout.addWidget(self.pages, 1)
        layout.addWidget(rule())
        layout.addWidget(self.strip)
        layout.addWidget(self.status)

    def _listen(self) -> None:
        session = self.session
        opened = session.open_study
        self.steps.chosen.connect(self.show_page)
        opened.study_changed.connect(self._on_study)
        opened.engine_loaded.connect(self._shorten_collections)
        opened.records_changed.connect(self._refresh)
        session.training.changed.connect(self._refresh_advice)
        session.on_show.shown_changed.connect(self._bind_keys)
        session.maps.changed.connect(self._bind_keys)
        session.comparing.screen_changed.connect(self._bind_keys)
        self.views.changed.connect(self._refresh_views)
        self._viewer.events.theme.connect(self._on_theme)
        session.reviewing.fixed.connect(self._on_fixed)
        session.reviewing.trust.changed.connect(self._show_trust)
        self._refresh()

    @property
    def page(self) -> str:
        """Name of the page on show, one of `advice.PAGES`."""
        return PAGES[self._page]

    def show_page(self, index: int) -> None:
        """Show a page of the path, 0 to 4; the welcome shows instead while no study is open."""
        if self.page == "Compare" and PAGES[index] != "Compare":
            self.session.comparing.leave_screen()
        self._page = index
        self.session.maps.review(PAGES[index] == "Review")
        self.steps.choose(index)
        opened = self.session.open_study.study is not None
        self.pages.setCurrentIndex(index if opened else len(PAGES))
        self._bind_keys()
        self._refresh_advice()

    def _on_study(self) -> None:
        self.show_page(0)

    def _refresh(self) -> None:
        opened = self.session.open_study.study is not None
        for part in (self.steps, self.advice, self.linked):
            part.setVisible(opened)
        self._refresh_views()
        self._refresh_advice()

    def _refresh_views(self) -> None:
        allow(self.linked, self.views.why_not())
        check(self.linked, self.views.shown)

    def _show_trust(self) -> None:
        self.scans_page.show_trust(self.session.reviewing.trust.scores)

    def _on_fixed(self) -> None:
        self.show_page(PAGES.index("Label"))

    def _refresh_advice(self) -> None:
        session = self.session
        self.advice.setText(
            next_step(session.open_study.records, self.page, session.training.active)
        )

    def _bind_keys(self) -> None:
        keys = {
            "Label": self.label_page.keys,
            "Review": self.review_page.keys,
            "Compare": self.compare_page.keys,
        }.get(self.page)
        if self.session.open_study.study is None:
            self._keys.unbind()
        else:
            self._keys.bind({"T": self.views.toggle, **({} if keys is None else keys())})

    def _on_theme(self) -> None:
        theme = get_theme(self._viewer.theme)
        for chart in (self.train_page.curve, self.compare_page.plot):
            chart.set_colours(theme.background.as_hex(), theme.text.as_hex())

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Save what was painted; hiding may be the last that the widget hears (Qt's name)."""
        self.session.open_study.about_to_work.emit()
        self._collections.end()
        super().hideEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Draw without long stops, once the libraries are loaded (Qt's name)."""
        super().showEvent(event)
        self._shorten_collections()

    def _shorten_collections(self) -> None:
        if self.session.open_study.methods and self.isVisible():
            self._collections.begin()


def _close(session: Session, keys: ViewerKeys, views: ThreeViews) -> None:
    keys.unbind()
    views.close()
    session.close()
    if _napari_stays():
        session.on_show.layers.clear()  # strokes in them would not be saved any more


def _napari_stays() -> bool:
    """Tell whether only the dock was closed."""
    if QApplication.instance() is None or QApplication.closingDown():
        return False
    windows = QApplication.topLevelWidgets()
    return any(isinstance(window, QMainWindow) and window.isVisible() for window in windows)
