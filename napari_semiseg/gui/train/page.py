"""The Train page: which method, for how long, and how it is going.

What a clinician decides is above; hyper-parameters are folded away under “Advanced”. While a run
trains, its previews and its curve take the place of the choices.
"""

from __future__ import annotations

import math
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_semiseg.engine.errors import SemisegError
from napari_semiseg.engine.training.settings import DEFAULT_MINUTES, TrainingSettings
from napari_semiseg.gui.open_study.advice import trainable, why_not_train
from napari_semiseg.gui.train.curve import LearningCurve
from napari_semiseg.gui.train.intents import (
    INTENTS,
    Intent,
    Pace,
    forecast,
    in_words,
    minutes_of,
    pace_of,
)
from napari_semiseg.gui.train.method_chooser import MethodChooser
from napari_semiseg.gui.train.preview_panel import PreviewPanel
from napari_semiseg.gui.train.run_facts import facts_of, memory_in_use
from napari_semiseg.gui.train.settings_form import SettingsForm
from napari_semiseg.gui.widgets.controls import (
    Fold,
    allow,
    button,
    caption,
    check,
    describe,
    heading,
)

if TYPE_CHECKING:
    from napari_semiseg.engine.study import Run
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.train.training import Training
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow

SHORTEST, LONGEST = 0.5, 1440.0
SLIDER_STEPS = 200
VALIDATED_FROM = 10
"""Labelled scans from which on some are set aside during training."""
PRESETS = (("modern", "Best in a short time"), ("paper", "As published"))
DEVICES = (
    ("auto", "Fastest there is"),
    ("cpu", "CPU"),
    ("cuda", "NVIDIA card (CUDA)"),
    ("mps", "Apple GPU (MPS)"),
)


class TrainPage(QWidget):
    """The choice of method and time, previews, and the curve."""

    def __init__(
        self,
        open_study: OpenStudy,
        on_show: CaseOnShow,
        maps: MapsOnShow,
        training: Training,
    ) -> None:
        super().__init__()
        self._open = open_study
        self._on_show = on_show
        self._maps = maps
        self._training = training
        self._form: SettingsForm | None = None
        self._intent: Intent | None = INTENTS[0]
        self._former: Run | None = None
        self._make_choices()
        self._make_budget()
        self._make_advanced()
        self._make_actions()
        self._lay_out()
        self.method.changed.connect(self._on_method)
        open_study.engine_loaded.connect(self._fill_methods)
        open_study.records_changed.connect(self._on_records)
        training.changed.connect(self.refresh)
        self._fill_methods()
        self._on_records()

    def _make_choices(self) -> None:
        self.method = MethodChooser()
        self.preset = QComboBox()
        self.preset.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.preset.setMinimumContentsLength(10)
        self.preset.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        describe(
            self.preset,
            "Recipe",
            "“Best in a short time” has done best in our measurements; “As published” keeps to the "
            "network and schedule of the method's paper.",
        )
        for key, title in PRESETS:
            self.preset.addItem(title, key)
        self.preset.currentIndexChanged.connect(self._show_times)

    def _make_budget(self) -> None:
        self.intents: dict[str, QPushButton] = {}
        for intent in INTENTS:
            made = button(intent.title, intent.expectation, partial(self._choose_intent, intent))
            made.setCheckable(True)
            made.setMinimumWidth(30)
            made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
            self.intents[intent.key] = made
        self.expectation = caption()
        self.forecast = caption(faint=True)
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
        with signals_blocked(self.minutes):
            self.minutes.setValue(DEFAULT_MINUTES)

    def _make_advanced(self) -> None:
        self.device = QComboBox()
        for key, title in DEVICES:
            self.device.addItem(title, key)
        describe(self.device, "Device", "Where the network is trained.")
        self.device.currentIndexChanged.connect(self._on_setting)
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        describe(self.seed, "Seed", "The same seed and labels give the same training again.")
        self.seed.valueChanged.connect(self._on_setting)
        self.reset = button(
            "&Back to the defaults", "Undo every change under “Advanced”.", self._restore_defaults
        )
        general = QWidget()
        form = QFormLayout(general)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Device", self.device)
        form.addRow("Seed", self.seed)
        self.advanced = Fold("Advanced", "Device, seed and the settings of the method.")
        self.advanced.add(general)
        self._form_place = QWidget()
        QVBoxLayout(self._form_place).setContentsMargins(0, 0, 0, 0)
        self.advanced.add(self._form_place)
        self.advanced.add(self.reset)
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
        self.learn_on = button(
            "&Learn on",
            "Start a new run with what the newest one has learnt, on the labels of now.",
            self.start_from_last_run,
        )
        self.resume = button(
            "&Continue the stopped run",
            "Go on with the newest run, which was stopped, where it was.",
            self._training.continue_stopped,
        )
        self.why = caption(faint=True)
        self.facts = caption()
        self.facts.setAccessibleName("How the run goes")
        self.previews = PreviewPanel(self._on_show, self._maps, self._training)
        self.curve = LearningCurve()

    def _lay_out(self) -> None:
        self.choices = QWidget()
        choices = QVBoxLayout(self.choices)
        choices.setContentsMargins(0, 0, 0, 0)
        choices.addWidget(self.method)
        recipe = QFormLayout()
        recipe.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        recipe.addRow("Recipe", self.preset)
        choices.addLayout(recipe)
        choices.addWidget(heading("How long"))
        intents = QHBoxLayout()
        intents.setSpacing(4)
        for made in self.intents.values():
            intents.addWidget(made, 1)
        choices.addLayout(intents)
        choices.addWidget(self.expectation)
        time = QHBoxLayout()
        time.addWidget(self.slider, 1)
        time.addWidget(self.minutes)
        choices.addLayout(time)
        choices.addWidget(self.forecast)
        choices.addWidget(self.advanced)
        choices.addWidget(self.start)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        parts = (self.choices, self.learn_on, self.resume, self.why, self.facts, self.previews)
        for part in (*parts, self.curve, self.plan):
            layout.addWidget(part)
        layout.addStretch(1)

    # what is chosen

    def _fill_methods(self) -> None:
        self.method.offer(self._open.methods, TrainingSettings().method)
        self.refresh()

    def _on_method(self) -> None:
        method = self._open.methods.get(self.method.key or "")
        if self._form is not None:
            self._form.hide()
            self._form.deleteLater()
            self._form = None
        if method is not None:
            self._form = SettingsForm(method.Settings)
            self._form.changed.connect(self._on_setting)
            place = self._form_place.layout()
            if place is not None:
                place.addWidget(self._form)
        self._on_setting()

    def _on_setting(self) -> None:
        """Tell in the title of the fold whether something in it is not as it comes."""
        touched = (
            (self._form is not None and self._form.touched)
            or self.device.currentIndex() > 0
            or self.seed.value() > 0
        )
        self.advanced.set_title("Advanced (changed)" if touched else "Advanced")
        allow(self.reset, None if touched else "Nothing was changed.")
        self._show_times()

    def _restore_defaults(self) -> None:
        if self._form is not None:
            self._form.restore_defaults()
        self.device.setCurrentIndex(0)
        self.seed.setValue(0)

    def _choose_intent(self, intent: Intent) -> None:
        self._intent = intent
        self._show_times()

    def _on_minutes(self) -> None:
        self._intent = None
        self._show_times()

    def _on_slider(self, place: int) -> None:
        minutes = SHORTEST * (LONGEST / SHORTEST) ** (place / SLIDER_STEPS)
        self.minutes.setValue(round(minutes, 1) if minutes < 10 else round(minutes))

    def _pace(self) -> Pace | None:
        """How fast the chosen method is here, from runs on the device that is chosen."""
        opened, machine = self._open, self._open.machine
        if machine is None or self.device.currentData() not in ("auto", machine.device):
            return None
        key, preset = self.method.key or "", self.preset.currentData()
        return pace_of(opened.records.runs, opened.methods, key, preset, machine.device_name)

    def _show_times(self) -> None:
        """Show what the intents take, and what the chosen time comes to."""
        pace = self._pace()
        if self._intent is not None:
            with signals_blocked(self.minutes):
                self.minutes.setValue(minutes_of(self._intent, pace))
        minutes = self.minutes.value()
        for intent in INTENTS:
            made, words = self.intents[intent.key], in_words(minutes_of(intent, pace))
            made.setText(f"{intent.title}\n{words}")
            made.setAccessibleName(f"{intent.title}, {words}")
            check(made, intent is self._intent)
        if self._intent is not None:
            self.expectation.setText(self._intent.expectation)
        self.expectation.setVisible(self._intent is not None)
        validated = trainable(self._open.records) >= VALIDATED_FROM
        self.forecast.setText(forecast(minutes, pace, validated))
        share = math.log(minutes / SHORTEST) / math.log(LONGEST / SHORTEST)
        with signals_blocked(self.slider):
            self.slider.setValue(round(SLIDER_STEPS * share))

    def settings(self) -> TrainingSettings:
        """Return what is chosen.

        Raises
        ------
        SemisegError
            A setting of the method cannot be read.
        """
        return TrainingSettings(
            method=self.method.key or TrainingSettings().method,
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
            self._open.tell_problem(str(problem))
            return
        self._training.start(settings)

    def start_from_last_run(self) -> None:
        """Train anew with the networks and settings of the newest run, on the labels of now."""
        if self._former is not None:
            device, seed = self.device.currentData(), self.seed.value()
            self._training.learn_on(self._former, self.minutes.value(), seed, device)

    # how it is going

    def _on_records(self) -> None:
        records = self._open.records
        run = self._former = records.usable_run
        if run is not None:
            known = self._training.knows_all_labels(run)
            self.learn_on.setText(
                f"&Learn on from {run.identifier}" + ("" if known else ": new labels")
            )
            changed = "They are the same ones." if known else "They have changed since."
            describe(
                self.learn_on,
                f"Learn on from run {run.identifier}",
                f"Start a new run with what run {run.identifier} has learnt and with its settings, "
                f"for the time chosen above, on the labels of now. {changed}",
            )
        self.curve.name_classes(records.classes)
        self._show_times()
        self.refresh()

    def refresh(self) -> None:
        """Show what can be started and how training is going."""
        training, records = self._training, self._open.records
        loading = None if self._open.methods else "The methods are still being loaded."
        reason = why_not_train(records, training.active) or loading
        for act in (self.start, self.learn_on, self.resume):
            allow(act, reason)
        self.why.setText(reason or "")
        self.why.setVisible(reason is not None and not training.active)
        self.choices.setVisible(not training.active)  # the run has their room meanwhile
        self.learn_on.setVisible(self._former is not None and not training.active)
        self.resume.setVisible(records.unfinished_run is not None and not training.active)
        progress = training.progress
        machine = self._open.machine
        memory = memory_in_use("" if machine is None else machine.device) if training.active else ""
        now = datetime.now().astimezone()
        self.facts.setText(facts_of(progress, training.state, memory, now))
        known = bool(progress.step or progress.method_title)
        self.facts.setVisible(training.active or bool(progress.outcome))
        self.curve.setVisible(known)
        self.curve.show_progress(progress)
        self.plan.setVisible(bool(progress.reasons))
        text = "\n".join(f"• {reason}" for reason in progress.reasons)
        if text != self._plan_text.text():
            self._plan_text.setText(text)
