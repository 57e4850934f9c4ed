"""The Train page: which method, for how long, and how it is going.

What a clinician decides is above; hyper-parameters are folded away under “Advanced”.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QSizePolicy,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_semiseg.engine.errors import SemisegError
from napari_semiseg.engine.training.settings import DEFAULT_MINUTES, TrainingSettings
from napari_semiseg.gui.advice import why_not_train
from napari_semiseg.gui.controls import Fold, allow, button, caption, describe, heading
from napari_semiseg.gui.curve import LearningCurve
from napari_semiseg.gui.settings_form import SettingsForm

if TYPE_CHECKING:
    from napari_semiseg.gui.session import Session

BUDGETS = ((1.0, "Quick look\n1 min"), (3.0, "3 min"), (10.0, "10 min"), (60.0, "1 hour"))
SHORTEST, LONGEST = 0.5, 1440.0
SLIDER_STEPS = 200
PRESETS = (("modern", "Best in a short time"), ("paper", "As published"))
DEVICES = (
    ("auto", "Fastest there is"),
    ("cpu", "CPU"),
    ("cuda", "NVIDIA card (CUDA)"),
    ("mps", "Apple GPU (MPS)"),
)


class TrainPage(QWidget):
    """The choice of method and time, and the live curve.

    Parameters
    ----------
    session : Session
        What to show and to act on.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._form: SettingsForm | None = None
        self._make_choices()
        self._make_budget()
        self._make_advanced()
        self._make_actions()
        self._lay_out()
        session.engine_loaded.connect(self._fill_methods)
        session.records_changed.connect(self.refresh)
        session.training.changed.connect(self.refresh)
        self._fill_methods()

    def _make_choices(self) -> None:
        self.method = QComboBox()
        self.preset = QComboBox()
        for combo in (self.method, self.preset):
            combo.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            combo.setMinimumContentsLength(10)
            combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        describe(self.method, "Method", "How unlabelled scans are learnt from.")
        describe(
            self.preset,
            "Recipe",
            "“Best in a short time” has done best in our measurements; “As published” keeps to the "
            "network and schedule of the method's paper.",
        )
        for key, title in PRESETS:
            self.preset.addItem(title, key)
        self.summary = caption("Loading the methods…", faint=True)
        self.method.currentIndexChanged.connect(self._on_method)

    def _make_budget(self) -> None:
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(SHORTEST, LONGEST)
        self.minutes.setDecimals(1)
        self.minutes.setSuffix(" min")
        describe(self.minutes, "Time to train", "How long to train; longer is usually better.")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, SLIDER_STEPS)
        describe(self.slider, "Time to train", "How long to train, from half a minute to a day.")
        self.minutes.valueChanged.connect(self._on_minutes)
        self.slider.valueChanged.connect(self._on_slider)
        self.minutes.setValue(DEFAULT_MINUTES)
        self.budgets = [
            button(title, f"Train for {minutes:g} minutes.", self._budget_setter(minutes))
            for minutes, title in BUDGETS
        ]
        for made in self.budgets:
            made.setMinimumWidth(30)
            made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
            made.setAccessibleName(made.text().replace("\n", ", "))

    def _budget_setter(self, minutes: float) -> Any:
        return lambda: self.minutes.setValue(minutes)

    def _make_advanced(self) -> None:
        self.device = QComboBox()
        for key, title in DEVICES:
            self.device.addItem(title, key)
        describe(self.device, "Device", "Where the network is trained.")
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        describe(self.seed, "Seed", "The same seed and labels give the same training again.")
        general = QWidget()
        form = QFormLayout(general)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Device", self.device)
        form.addRow("Seed", self.seed)
        self.advanced = Fold("Advanced", "Device, seed and the settings of the method.")
        self.advanced.add(general)
        self.plan = Fold(
            "What was planned, and why", "Network, patch and voxel size of this run, with reasons."
        )
        self._plan_text = caption()
        self.plan.add(self._plan_text)

    def _make_actions(self) -> None:
        self.start = button(
            "&Start training", "Learn from all labelled and unlabelled scans.", self.start_training
        )
        self.start.setMinimumHeight(34)
        self.resume = button(
            "&Continue the stopped run",
            "Go on with the newest run, which was stopped, where it was.",
            self._session.training.continue_stopped,
        )
        self.why = caption(faint=True)
        self.curve = LearningCurve()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow(heading("Method"))
        form.addRow(self.method)
        form.addRow(self.summary)
        form.addRow("Recipe", self.preset)
        time = QHBoxLayout()
        time.addWidget(self.slider, 1)
        time.addWidget(self.minutes)
        form.addRow("Time", time)
        budgets = QHBoxLayout()
        budgets.setSpacing(4)
        for made in self.budgets:
            budgets.addWidget(made, 1)
        self.choices = QWidget()
        choices = QVBoxLayout(self.choices)
        choices.setContentsMargins(0, 0, 0, 0)
        choices.addLayout(form)
        choices.addLayout(budgets)
        choices.addWidget(self.advanced)
        choices.addWidget(self.start)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.choices)
        layout.addWidget(self.resume)
        layout.addWidget(self.why)
        layout.addWidget(self.curve)
        layout.addWidget(self.plan)
        layout.addStretch(1)

    # what is chosen

    def _fill_methods(self) -> None:
        self.method.blockSignals(True)
        self.method.clear()
        for key, method in self._session.methods.items():
            self.method.addItem(method.title, key)
            self.method.setItemData(
                self.method.count() - 1, str(method.paper), Qt.ItemDataRole.ToolTipRole
            )
        default = self.method.findData(TrainingSettings().method)
        self.method.setCurrentIndex(max(0, default) if self.method.count() else -1)
        self.method.blockSignals(False)
        self._on_method()
        self.refresh()

    def _on_method(self) -> None:
        method = self._session.methods.get(self.method.currentData())
        if self._form is not None:
            self._form.hide()
            self._form.deleteLater()
            self._form = None
        if method is not None:
            self.summary.setText(method.summary)
            self._form = SettingsForm(method.Settings)
            self.advanced.add(self._form)

    def _on_minutes(self, minutes: float) -> None:
        share = math.log(minutes / SHORTEST) / math.log(LONGEST / SHORTEST)
        self.slider.blockSignals(True)
        self.slider.setValue(round(SLIDER_STEPS * share))
        self.slider.blockSignals(False)

    def _on_slider(self, place: int) -> None:
        minutes = SHORTEST * (LONGEST / SHORTEST) ** (place / SLIDER_STEPS)
        self.minutes.setValue(round(minutes, 1) if minutes < 10 else round(minutes))

    def settings(self) -> TrainingSettings:
        """Return what is chosen.

        Raises
        ------
        SemisegError
            A setting of the method cannot be read.
        """
        return TrainingSettings(
            method=self.method.currentData(),
            preset=self.preset.currentData(),
            minutes=self.minutes.value(),
            seed=self.seed.value(),
            device=self.device.currentData(),
            method_settings={} if self._form is None else self._form.differing_values(),
        )

    def start_training(self) -> None:
        """Start training with what is chosen."""
        try:
            settings = self.settings()
        except SemisegError as problem:
            self._session.tell_problem(str(problem))
            return
        self._session.training.start(settings)

    # how it is going

    def refresh(self) -> None:
        """Show what can be started and how training is going."""
        training, records = self._session.training, self._session.records
        loading = None if self._session.methods else "The methods are still being loaded."
        reason = why_not_train(records, training.active) or loading
        allow(self.start, reason)
        self.why.setText(reason or "")
        self.why.setVisible(reason is not None and not training.active)
        self.choices.setVisible(not training.active)  # the curve has their room meanwhile
        self.resume.setVisible(records.unfinished_run is not None and not training.active)
        allow(self.resume, reason)
        progress = training.progress
        self.curve.setVisible(bool(progress.step or progress.method_title))
        self.curve.show_progress(progress)
        self.plan.setVisible(bool(progress.reasons))
        text = "\n".join(f"• {reason}" for reason in progress.reasons)
        if text != self._plan_text.text():
            self._plan_text.setText(text)
