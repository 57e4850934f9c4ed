"""The part of the Review page that shows how large the structures are along the scan.

There for runs that expect sizes; measuring starts when it is unfolded. Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QTimer, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QScrollArea, QWidget

from napari_semiseg.gui.review.size_chart import SizeChart
from napari_semiseg.gui.widgets.controls import Fold, button, caption, describe, show_share

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.review.sizes import ScanSizes, Subject
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow

MEASURING = "Measuring the sizes…"
OTHER_VIEW = "The chart is about axial slices: a click in it turns the view to them."


class SizeSection(Fold):
    """The size chart, and how far measuring is or why it failed."""

    _switched = Signal()

    def __init__(
        self, open_study: OpenStudy, on_show: CaseOnShow, maps: MapsOnShow, sizes: ScanSizes
    ) -> None:
        super().__init__(
            "Sizes", "How large each structure is along the scan, and where that looks wrong."
        )
        self._open = open_study
        self._maps = maps
        self._sizes = sizes
        self._viewer = on_show.layers.viewer
        self._unfolded_for: Subject | None = None
        self._area: QScrollArea | None = None
        self._drawn: tuple[Any, ...] = (None, ())
        self._make_parts()
        self._switched.connect(self._on_switched)
        for signal in (
            open_study.records_changed,
            open_study.engine_loaded,
            on_show.shown_changed,
            maps.changed,
            self._sizes.changed,
        ):
            signal.connect(self.refresh)
        self._sizes.moved.connect(self._refresh_slice)
        self._viewer.events.theme.connect(self._on_theme)
        self._on_theme()
        self.refresh()

    def _make_parts(self) -> None:
        self.note = caption()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        describe(self.bar, "Progress of measuring", "How far measuring the sizes is.")
        self.stop = button("Stop", "Stop measuring the sizes.", self._sizes.stop)
        self.again = button("Measure again", "Measure the sizes once more.", self._sizes.measure)
        self._progress = QWidget()
        row = QHBoxLayout(self._progress)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.stop)
        self.chart = SizeChart()
        self.chart.slice_chosen.connect(self._sizes.show_slice)
        self.view_note = caption(OTHER_VIEW, faint=True)
        for part in (self.note, self._progress, self.again, self.chart, self.view_note):
            self.add(part)

    @property
    def expanded(self) -> bool:
        """Whether what is inside shows."""
        return not self._body.isHidden()

    def expand(self, expanded: bool = True) -> None:
        """Show what is inside and measure, or fold it away and stop measuring."""
        super().expand(expanded)
        self._switched.emit()  # the parts are not there yet while the base class is made

    def _on_switched(self) -> None:
        self._unfolded_for = self._sizes.subject if self.expanded else None
        if not self.expanded:
            self._sizes.leave()
            return
        self._follow()
        self._sizes.measure()
        self.refresh()

    def _follow(self) -> None:
        """Keep in view what was unfolded while it grows: it lies below everything else on the page."""
        area = self.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        if area is not None and area is not self._area:
            self._area = area
            bar = area.verticalScrollBar()
            if bar is not None:
                bar.rangeChanged.connect(self._on_page_grown)

    def _on_page_grown(self) -> None:
        QTimer.singleShot(0, self._scroll_to)  # what is on the page has its place only then

    def _scroll_to(self) -> None:
        # another scan than the one it was unfolded for must not scroll the list out of view
        unfolded = self._unfolded_for is not None and self._unfolded_for == self._sizes.subject
        if unfolded and self._area is not None and self.isVisible():
            self._area.ensureWidgetVisible(self)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Measure what came onto the screen while another page was up (Qt's name)."""
        super().showEvent(event)
        self.refresh()

    def refresh(self) -> None:
        """Show what is known of the sizes in the scan on the screen."""
        sizes = self._sizes
        expected = sizes.subject is not None
        # not while a scan is on its way: the page would jump at each step through the list
        if expected or not self._maps.reading:
            self.setVisible(expected)
        if not self.expanded:
            return
        known = sizes.profile is not None or sizes.problem is not None
        if expected and not known and not sizes.measuring and self.isVisible():
            sizes.measure()  # comes back here
            return
        self._refresh_note()
        self._refresh_chart()

    def _refresh_note(self) -> None:
        sizes = self._sizes
        self._progress.setVisible(sizes.measuring)
        show_share(self.bar, sizes.share)
        self.again.setVisible(sizes.problem is not None)
        text = MEASURING if sizes.measuring else sizes.problem or ""
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _refresh_chart(self) -> None:
        profile, classes = self._sizes.profile, self._open.records.classes
        self.chart.setVisible(self._sizes.problem is None)
        if self._drawn != (profile, classes):
            self._drawn = (profile, classes)
            self.chart.show_profile(profile, classes)
        self._refresh_slice()

    def _refresh_slice(self) -> None:
        if self.expanded:
            index = self._sizes.slice_on_show
            self.chart.show_slice(index)
            self.view_note.setVisible(self._sizes.profile is not None and index is None)

    def _on_theme(self) -> None:
        theme = get_theme(self._viewer.theme)
        self.chart.set_colours(theme.background.as_hex(), theme.text.as_hex())
