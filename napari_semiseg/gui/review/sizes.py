"""The sizes of the structures in a predicted scan: measured on request, and kept to come back to.

Measuring is done on a worker's thread by `measure_sizes`; all else
is on the main thread.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from psygnal import Signal

from napari_semiseg.engine.study import Case, CaseState, Study
from napari_semiseg.gui.open_study.latest import Latest

if TYPE_CHECKING:
    from napari_semiseg.engine.inference.size_profile import SizeProfile
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow

STOPPED = "Measuring was stopped."


class Subject(NamedTuple):
    """What a profile belongs to: as soon as one of these differs, it has to be measured again.

    Attributes
    ----------
    run : str
        Identifier of the run whose model is asked.
    finished : str or None
        When it ended; a run that was stopped and goes on has another model in the end.
    case : str
        Name of the scan.
    label_hash : str or None
        Of the label that gives the true sizes; None without one.
    """

    run: str
    finished: str | None
    case: str
    label_hash: str | None


def has_true_sizes(case: Case) -> bool:
    """Tell whether the label of a case says how large each structure really is.

    An accepted prediction is no second opinion, and a label with slices that nobody has looked at
    says nothing of those.
    """
    finished = case.has_label and case.hidden_state is CaseState.LABELLED
    return finished and case.label_origin == "human" and case.done_slices is None


def measure_sizes(study: Study, run: str, name: str) -> Generator[float | None, None, SizeProfile]:
    """Measure the sizes in a scan with the model of a run.

    Yields
    ------
    float or None
        Share of the work that is done; None while the model is loaded.

    Returns
    -------
    SizeProfile
        With the true sizes where the case has a label that tells them.
    """
    yield None  # who pages through the list has asked for another scan by now
    from napari_semiseg.engine.inference.size_profile import size_profile
    from napari_semiseg.engine.methods.assembly import restore
    from napari_semiseg.engine.planning.machine import describe_machine

    method, _ = restore(study.runs.get(run).folder, describe_machine())
    truth = study.labels.load(name) if has_true_sizes(study.case(name)) else None
    return (yield from size_profile(method, name, study.scans.read(name), truth))


class ScanSizes:
    """The sizes in the scan on the screen, and the slice of it that is looked at.

    Attributes
    ----------
    share : float or None
        How far measuring is, 0…1; None while unknown.
    changed, moved : psygnal.Signal
        Emitted after something else is known of the sizes, and after the viewer shows another slice.
    """

    changed = Signal()
    moved = Signal()

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow, maps: MapsOnShow) -> None:
        self._open = open_study
        self._on_show = on_show
        self._maps = maps
        self._profiles: dict[Subject, SizeProfile] = {}
        self._problems: dict[Subject, str] = {}
        self._work = Latest(open_study)
        self._measured: Subject | None = None
        self.share: float | None = None
        self._dims = on_show.layers.dims
        events = self._dims.events
        for event in (events.point, events.order, events.ndisplay):
            event.connect(self._on_view)
        on_show.shown_changed.connect(self._on_shown)
        open_study.leaving.connect(self._forget)

    # what is known

    @property
    def subject(self) -> Subject | None:
        """What is on the screen; None where it has no sizes to compare with."""
        run, case = self._maps.predicted_by, self._on_show.case
        # empty until the engine is loaded: asking it would load torch on this thread
        method = None if run is None else self._open.methods.get(run.method)
        if run is None or case is None or method is None or not method.expects_sizes:
            return None
        label = case.label_hash if has_true_sizes(case) else None
        return Subject(run.identifier, run.finished, case.name, label)

    @property
    def profile(self) -> SizeProfile | None:
        """Sizes in the scan on the screen; None until they are measured."""
        subject = self.subject
        return None if subject is None else self._profiles.get(subject)

    @property
    def problem(self) -> str | None:
        """Why there are none, in one sentence."""
        subject = self.subject
        return None if subject is None else self._problems.get(subject)

    @property
    def measuring(self) -> bool:
        """Whether the scan on the screen is being measured."""
        return self._work.busy and self._measured == self.subject

    # measuring

    def measure(self) -> None:
        """Measure the scan on the screen, unless that is known or under way."""
        study, subject = self._open.study, self.subject
        if study is None or subject is None or subject in self._profiles or self.measuring:
            return
        self._problems.pop(subject, None)
        self._measured, self.share = subject, None
        self._work.start(
            measure_sizes,
            study,
            subject.run,
            subject.case,
            done=partial(self._on_measured, subject),
            failed=partial(self._on_failed, subject),
            progress=self._on_progress,
        )
        self.changed.emit()

    def stop(self) -> None:
        """Stop measuring and say so."""
        if self._measured is not None:
            self._problems[self._measured] = STOPPED
        self.leave()

    def leave(self) -> None:
        """Stop measuring; it begins anew when it is asked for."""
        if self._work.busy:
            self._work.drop()
            self._end()

    def _forget(self) -> None:
        self._measured = self.share = None
        self._profiles, self._problems = {}, {}
        self.changed.emit()

    def _on_progress(self, share: float | None) -> None:
        self.share = share
        self.changed.emit()

    def _on_measured(self, subject: Subject, profile: SizeProfile) -> None:
        self._profiles[subject] = profile
        self._end()

    def _on_failed(self, subject: Subject, sentence: str) -> None:
        self._problems[subject] = sentence
        self._end()

    def _end(self) -> None:
        self._measured = self.share = None
        self.changed.emit()

    def _on_shown(self) -> None:
        """Do not measure a scan any longer when another one comes onto the screen."""
        wanted = self._on_show.reading or self._on_show.name
        if self._measured is not None and self._measured.case != wanted:
            self.leave()

    # the viewer's slices

    @property
    def slice_on_show(self) -> int | None:
        """Slice that the viewer shows along the axis of the profile; None where it cuts another."""
        profile, spacing = self.profile, self._spacing
        if profile is None or spacing is None:
            return None
        axis = self._viewer_axis(profile.axis)
        if axis not in self._dims.not_displayed:
            return None
        return round(float(self._dims.point[axis]) / spacing[profile.axis])

    def show_slice(self, index: int) -> None:
        """Let the viewer show a slice along the axis of the profile, turning its view if need be."""
        profile, spacing = self.profile, self._spacing
        if profile is None or spacing is None:
            return
        axis = self._viewer_axis(profile.axis)
        if self._dims.ndisplay == 3:
            self._dims.ndisplay = 2
        if axis not in self._dims.not_displayed:
            others = [other for other in range(self._dims.ndim) if other != axis]
            self._dims.order = (axis, *others)
        # last: turning the view may move it along its axes
        self._dims.set_point(axis, index * spacing[profile.axis])

    @property
    def _spacing(self) -> tuple[float, ...] | None:
        case = self._on_show.case
        return None if case is None else tuple(case.geometry.spacing)

    def _viewer_axis(self, axis: int) -> int:
        """Return the viewer's number of an axis of the scan: layers of the user may have more."""
        return int(self._dims.ndim) - 3 + axis

    def _on_view(self) -> None:
        if self._open.study is not None:  # else the page may be gone
            self.moved.emit()
