"""A study: the scans, classes, labels, runs and decisions of one user, in one folder on the disk.

This facade is the only door to the room: the desk, the command line, training, inference and review
all work through it. It may be used from several threads and by several programs at once; each call
is complete on the disk when it returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.cases import (
    Case,
    CaseState,
    LabelOrigin,
    read_case,
    read_cases,
)
from napari_semiseg.engine.study.classes import ClassInfo, read_classes, refuse_other_names
from napari_semiseg.engine.study.creation import create_study_folder, existing_study_folder
from napari_semiseg.engine.study.decisions import Decision, DecisionKind, read_decisions
from napari_semiseg.engine.study.labels.changes import Labelling
from napari_semiseg.engine.study.labels.part_decisions import RegionDecisions
from napari_semiseg.engine.study.labels.rules import LabelSave
from napari_semiseg.engine.study.labels.slice_marking import SliceMarking
from napari_semiseg.engine.study.labels.store import LabelStore
from napari_semiseg.engine.study.labels.writing import LabelWriter
from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.study.runs.learnt_from import label_snapshot_hash, learnt_from
from napari_semiseg.engine.study.runs.maps import MapStore, StoredMap
from napari_semiseg.engine.study.runs.runs import Run, RunTable
from napari_semiseg.engine.study.scans import adding
from napari_semiseg.engine.study.scans.adding import ScanProblem
from napari_semiseg.engine.study.storage import storage_errors
from napari_semiseg.engine.study.time_spent import TimeSpent
from napari_semiseg.engine.volumes.reading import read_label
from napari_semiseg.engine.volumes.scans import ScanSource
from napari_semiseg.engine.volumes.volume import Volume


class Study:
    """A study on the disk; make one with :meth:`create` or :meth:`open`.

    Every method raises StudyError, with one sentence, if the study is closed, its disk is full or
    read-only, or its records are damaged; and, where it takes a name of a case or the identifier of
    a run, if there is none such.

    Attributes
    ----------
    path : Path
        The folder ``NAME.semiseg``.
    name : str
        What the user calls the study.
    time_spent : TimeSpent
        Takes down how long people work on the labels.
    regions : RegionDecisions
        Accepts and rejects parts of predictions, and tells where voxels of labels come from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records = Records(path)
        self.time_spent = TimeSpent(self._records)
        store, self._maps = LabelStore(path / "labels"), MapStore(path / "runs")
        self._writer = LabelWriter(self._records, store)
        self._labels = Labelling(self._records, store, self._writer)
        self._slices = SliceMarking(self._records, self._labels, self._writer)
        self.regions = RegionDecisions(self._records, self._labels, self._writer, self._maps)
        self._runs = RunTable(self._records)
        try:
            self._records.check()
            rows = self._records.query("SELECT name FROM study")
            self.name: str = rows[0]["name"] if rows else path.stem
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(
        cls, path: str | Path, classes: Iterable[ClassInfo], name: str | None = None
    ) -> Self:
        """Make a new study and open it.

        Parameters
        ----------
        path : str or Path
            The folder to make; ``.semiseg`` is added where it is missing.
        classes : iterable of ClassInfo
            At least one.
        name : str or None
            What to call it; None takes the name of the folder.

        Returns
        -------
        Study
            Without cases.

        Raises
        ------
        StudyError
            If the folder exists and is not empty, or the classes contradict each other.
        """
        return cls(create_study_folder(path, classes, name))

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a study that exists, by its folder with or without ``.semiseg``.

        Its records are proved sound and brought up to date. StudyError tells that there is no study,
        that its records are damaged, or that a newer version wrote them.
        """
        return cls(existing_study_folder(path))

    def close(self) -> None:
        """Close the records; the study can be opened again."""
        self._runs.close()
        self._records.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # classes and cases

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes, in the order of their values; background (0) is not among them."""
        with self._records.reading() as connection:
            return read_classes(connection)

    def set_classes(self, classes: Sequence[ClassInfo], author: str | None = None) -> None:
        """Change the classes; a value that labels use cannot be dropped (StudyError)."""
        self._labels.set_classes(classes, author)

    def cases(self) -> list[Case]:
        """Return all cases in the order in which they were added."""
        with self._records.reading() as connection:
            return read_cases(connection, self.path)

    def case(self, name: str) -> Case:
        """Return the case of this name; StudyError tells similar names where there is none."""
        with self._records.reading() as connection:
            return read_case(connection, self.path, name)

    def labelled_cases(self) -> list[Case]:
        """Return the cases that training learns from with their labels; never a held-out one."""
        return [case for case in self.cases() if case.trains_with_label]

    def unlabelled_cases(self) -> list[Case]:
        """Return all other cases that are not held out."""
        return [case for case in self.cases() if not (case.trains_with_label or case.held_out)]

    def held_out_cases(self) -> list[Case]:
        """Return the cases that are locked away from training."""
        return [case for case in self.cases() if case.held_out]

    def add_scan(self, source: ScanSource) -> Case:
        """Read a scan and add it as a case; the file stays where it is.

        BadScan tells that it is missing, cannot be read, or has voxels without a value; StudyError
        that a case has its name or content already, or that the channels of the study are others.
        """
        return adding.add_scan(self._records, source)

    def add_scans(self, paths: Sequence[str | Path]) -> Iterator[Case | ScanProblem]:
        """Add every scan in files and folders, one a step; a bad one yields a ScanProblem."""
        return adding.add_scans(self._records, paths)

    def relocate_scans(self, folder: str | Path) -> list[Case]:
        """Find missing scans below a folder by name and content; return the cases found."""
        return adding.relocate_scans(self._records, Path(folder))

    def remove_case(self, name: str, author: str | None = None) -> None:
        """Take a case out; its labels move to ``labels/removed`` and its scan stays untouched."""
        self._maps.remove_case(self._labels.remove(name, author).identifier)

    def volume(self, name: str) -> Volume:
        """Read the scan of a case: voxels (channels, z, y, x).

        ScanMissing tells that it is no longer at its place; BadScan that it cannot be read or has
        another voxel grid than when it was added.
        """
        return adding.read_scan(self.case(name))

    # labels

    def save_label(
        self,
        name: str,
        voxels: np.ndarray,
        *,
        state: CaseState = CaseState.IN_PROGRESS,
        author: str | None = None,
        origin: LabelOrigin = "human",
        run: str | None = None,
    ) -> None:
        """Save a label; the former one is kept as the previous one.

        Slices that are marked as done stay so, but an accepted prediction is complete.

        Parameters
        ----------
        name : str
            Name of the case.
        voxels : np.ndarray
            (z, y, x) on the grid of the scan; integer; 0 or values of the classes.
        state : CaseState
            ``IN_PROGRESS`` or ``LABELLED``; with the origin "accepted" it is always ``ACCEPTED``.
        author : str or None
            Who; None means the user that is logged in.
        origin : {"human", "accepted"}
            Whether a person made it, or accepted a prediction unchanged.
        run : str or None
            The run whose prediction it is, which a person accepts or starts from.

        Raises
        ------
        BadLabel
            If shape, dtype or values do not fit; the values are named.
        StudyError
            If a prediction would replace what a person made, or the disk refuses: then the label
            of before is untouched.
        """
        if origin == "accepted":
            how = LabelSave(CaseState.ACCEPTED, origin, author, DecisionKind.ACCEPTED, run)
        elif state in (CaseState.IN_PROGRESS, CaseState.LABELLED):
            how = LabelSave(
                CaseState(state), origin, author, run=run, keeps_done_slices=run is None
            )
        else:
            raise StudyError(
                f"A label cannot be saved as '{state}': save it as in progress or as labelled."
            )
        self._labels.save(name, voxels, how)

    def load_label(self, name: str) -> np.ndarray | None:
        """Return the label of a case, (z, y, x) uint8, proved whole; None where there is none."""
        return self._writer.load(name)

    def load_training_label(self, name: str) -> np.ndarray | None:
        """Return the label of a case with 255 where nobody has decided anything; or None."""
        return self._slices.load_for_training(name)

    def load_previous_label(self, name: str) -> np.ndarray | None:
        """Return the label before the last save, (z, y, x) uint8; None where there is none."""
        return self._writer.load(name, previous=True)

    def restore_previous_label(self, name: str, author: str | None = None) -> None:
        """Exchange the label, and its state, with the one before; twice changes nothing."""
        self._labels.restore_previous(name, author)

    def import_label(self, name: str, path: str | Path, author: str | None = None) -> None:
        """Take a label file over as the finished label of a case.

        GeometryMismatch tells that it does not lie on the grid of the scan; BadLabel that it cannot
        be read, has values that no class has, or gives a class's name to another value.
        """
        allowed = {item.value for item in self.classes}
        label = read_label(path, scan=self.case(name).geometry, allowed=allowed)
        refuse_other_names(path, label.class_names, self.classes)
        how = LabelSave(CaseState.LABELLED, "human", author, DecisionKind.LABEL_IMPORTED)
        self._labels.save(name, label.voxels, how)

    def mark(self, name: str, state: CaseState, author: str | None = None) -> None:
        """Put a case into a state.

        ``PREDICTED`` is a model's mark: it passes over cases that have a label, and is no decision.
        StudyError tells of a label that contradicts the state, such as LABELLED without a label.
        """
        self._labels.mark(name, CaseState(state), author)

    def mark_slices(
        self,
        name: str,
        axis: int,
        indices: Iterable[int],
        done: bool = True,
        author: str | None = None,
    ) -> None:
        """Mark slices along an axis (0, 1, 2 for z, y, x) as done, or take their marks away.

        A label without marks is complete; with marks, training learns from these slices only.
        StudyError tells what is wrong with a slice, a held-out case, or a class with the value 255.
        """
        self._slices.mark(name, axis, list(indices), done, author)

    def hold_out(self, name: str, locked: bool = True, author: str | None = None) -> None:
        """Lock a case away from training, or unlock it into its former state.

        StudyError tells why nothing may be measured against its label: it is an accepted
        prediction, or finished in some slices only.
        """
        self._labels.hold_out(name, locked, author)

    def label_snapshot_hash(self) -> str:
        """Return the SHA-256 of all labels that training learns from, with their case names."""
        return label_snapshot_hash(self.cases())

    # runs and maps

    def create_run(
        self, method: str, settings: Mapping[str, Any], seed: int, former: Run | None = None
    ) -> Run:
        """Record a new run as running, with the labels of now and the weights of a ``former`` one."""
        earlier = () if former is None else former.learnt_from
        now = learnt_from(self.cases())
        return self._runs.create(method, settings, seed, **now, earlier_labelled=earlier)

    def resume_run(self, identifier: str, settings: Mapping[str, Any]) -> Run:
        """Record that a run goes on with other settings, such as a budget, and the labels of now."""
        return self._runs.resume(identifier, settings, **learnt_from(self.cases()))

    def runs(self) -> list[Run]:
        """Return all runs, oldest first."""
        return self._runs.all()

    def run(self, identifier: str | None = None) -> Run:
        """Return a run; None means the newest that is finished, or stopped with a checkpoint."""
        return self._runs.newest_usable() if identifier is None else self._runs.one(identifier)

    def update_run(self, identifier: str | Run, status: str | None = None, **fields: Any) -> Run:
        """Change the status of a run and keep fields in ``Run.details``; return it anew."""
        return self._runs.update(_identifier(identifier), status, fields)

    def record_metrics(self, run: str | Run, case: str, metrics: Mapping[str, Any]) -> None:
        """Keep what was measured of a case with a run; keys become strings, as in JSON."""
        identifier = self._runs.one(_identifier(run)).identifier
        self._runs.record_metrics(identifier, self.case(case).identifier, metrics)

    def metrics(self, run: str | Run) -> dict[str, dict[str, Any]]:
        """Return what was measured with a run: case name to metrics."""
        return self._runs.metrics(self._runs.one(_identifier(run)).identifier)

    def save_map(
        self, run: str | Run, case: str, kind: str, array: np.ndarray, **attributes: Any
    ) -> None:
        """Store a map (z, y, x) or (channels, z, y, x) in place of the former of its kind."""
        identifier = self._runs.one(_identifier(run)).identifier
        with storage_errors(self.path):
            self._maps.save(identifier, self.case(case).identifier, kind, array, attributes)

    def load_map(self, run: str | Run, case: str, kind: str) -> StoredMap:
        """Open a map without reading it; StudyError where the run has no such map of the case."""
        with storage_errors(self.path):
            stored = self._maps.load(_identifier(run), self.case(case).identifier, kind)
        if stored is None:
            raise StudyError(
                f"The run {_identifier(run)} has no {kind} map of the case '{case}': predict the "
                "case with this run first."
            )
        return stored

    def maps(self, run: str | Run, case: str) -> list[str]:
        """Return the kinds of maps that a run has of a case, sorted."""
        return self._maps.kinds(_identifier(run), self.case(case).identifier)

    # review

    def accept(self, name: str, run: str | Run, author: str | None = None) -> None:
        """Make the prediction of a run the label of a case.

        StudyError tells of a label that a person made, a held-out case, or a missing prediction.
        """
        prediction = np.asarray(self.load_map(run, name, "prediction").array[...])
        self.save_label(name, prediction, author=author, origin="accepted", run=_identifier(run))

    def reject(
        self, name: str, run: str | Run, reason: str = "", author: str | None = None
    ) -> None:
        """Record that a prediction is not good enough; a label of a person stays as it is."""
        identifier = self._runs.one(_identifier(run)).identifier
        self._labels.reject(name, identifier, reason, author)

    def decisions(self, name: str | None = None) -> list[Decision]:
        """Return the audit trail, oldest first; of one case, or of the whole study."""
        with self._records.reading() as connection:
            return read_decisions(connection, name)

    @property
    def cache_folder(self) -> Path:
        """The folder ``cache``, which may be deleted at any time; made where it is missing."""
        folder = self.path / "cache"
        with storage_errors(self.path):
            folder.mkdir(exist_ok=True)
        return folder


def _identifier(run: str | Run) -> str:
    return run.identifier if isinstance(run, Run) else run
