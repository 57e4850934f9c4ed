"""The previews on the Train page: which of them refresh while a run trains, and how it was before.

Main thread only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QSlider, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_semiseg.engine.inference.maps import MAPS
from napari_semiseg.gui.train.previews import preview_kinds
from napari_semiseg.gui.widgets.controls import allow, button, caption, check, describe, heading

if TYPE_CHECKING:
    from napari_semiseg.gui.train.training import Training
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow


class PreviewPanel(QWidget):
    """Which maps refresh on the screen, and a slider over the past ones of this run."""

    def __init__(self, on_show: CaseOnShow, maps: MapsOnShow, training: Training) -> None:
        super().__init__()
        self._on_show = on_show
        self._training = training
        self._previews = training.previews
        self.title = heading("Live on the screen")
        self.kinds = {kind: self._toggle(kind) for kind in preview_kinds()}
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setPageStep(1)
        describe(
            self.slider,
            "Earlier in this run",
            "Go back to what the network drew earlier in this run; the right end follows it.",
        )
        self.slider.valueChanged.connect(self._on_slider)
        self.follow = button("Now", "Follow the newest maps again.", partial(self._look_at, None))
        self.when = caption(faint=True)
        self.when.setAccessibleName("Step on the screen")
        self._lay_out()
        for signal in (
            self._previews.changed,
            training.changed,
            on_show.shown_changed,
            maps.changed,
        ):
            signal.connect(self.refresh)
        self.refresh()

    def _toggle(self, kind: str) -> QPushButton:
        title = MAPS[kind].title
        made = QPushButton(title.capitalize())
        made.setCheckable(True)
        made.setMinimumWidth(30)
        made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        describe(made, f"Preview of {title}", MAPS[kind].live)
        made.clicked.connect(partial(self._previews.ask_for, kind))
        return made

    def _lay_out(self) -> None:
        kinds = QHBoxLayout()
        kinds.setSpacing(4)
        for made in self.kinds.values():
            kinds.addWidget(made, 1)
        self.history = QWidget()
        film = QHBoxLayout(self.history)
        film.setContentsMargins(0, 0, 0, 0)
        film.addWidget(self.slider, 1)
        film.addWidget(self.follow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.title)
        layout.addLayout(kinds)
        layout.addWidget(self.history)
        layout.addWidget(self.when)

    def refresh(self) -> None:
        """Show what can be looked at now."""
        active, past = self._training.active, self._previews.past
        for kind, made in self.kinds.items():
            check(made, self._previews.shows(kind))
            allow(made, None if active else "Training has ended: see the maps on the Review page.")
            made.setVisible(active)
        self.setVisible(active or bool(past))
        self.title.setText("Live on the screen" if active else "How the last run learnt")
        self.history.setVisible(len(past) > 1)
        with signals_blocked(self.slider):
            self.slider.setRange(0, max(0, len(past) - 1))
            place = self._previews.place
            self.slider.setValue(len(past) - 1 if place is None else place)
        allow(self.follow, "The newest maps are on the screen." if place is None else None)
        self.when.setText(self._words())

    def _words(self) -> str:
        training, past = self._training, self._previews.past
        if self._on_show.name is None:
            return "Show a scan on the Label page, and watch the network learn on it."
        if not past:
            return "The first maps come a few seconds after the first step."
        place = self._previews.place
        if place is not None:
            return f"Step {past[place].step:,}, while the run is at {training.progress.step:,}."
        again = " The next ones replace them." if training.active else ""
        return f"Step {past[-1].step:,}, the newest maps.{again}"

    def _on_slider(self, place: int) -> None:
        self._look_at(None if place >= len(self._previews.past) - 1 else place)

    def _look_at(self, place: int | None) -> None:
        self._previews.look_at(place)
