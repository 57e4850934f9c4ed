"""The training runs of a study: their settings, their state, and the metrics measured with them.

Each run has a row in the records and the folder ``runs/<identifier>`` for its checkpoints and maps.
Training creates and updates runs, evaluation records metrics; both through the study facade, on any
thread.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.decisions import now
from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.study.runs.installed_versions import installed_versions
from napari_semiseg.engine.study.runs.locks import RunningRuns
from napari_semiseg.engine.study.storage import plain, write_text

RunStatus = Literal["running", "stopped", "finished", "failed"]

EARLIER_LABELLED = "earlier_labelled"
"""Detail of a run: cases that its weights had learnt from before its last start."""

THEN = ", then "
"""Between the hashes of the labels that a run has learnt from one after the other."""


@dataclass(frozen=True)
class Run:
    """One training run, as the records know it at this moment.

    Attributes
    ----------
    identifier : str
        For example ``"003-ua-mt"``; rises with every run.
    method : str
        Key of the method.
    status : {"running", "stopped", "finished", "failed"}
        Where it stands; a run whose program was killed is stopped.
    settings : dict
        All settings of the run, as JSON holds them.
    seed : int
        Seed of its random numbers.
    label_hash : str
        ``Study.label_snapshot_hash()`` when it started; one that no labels have where they changed
        before it went on.
    labelled, unlabelled : tuple of str
        Names of the cases that it could learn from when it was last started.
    versions : dict of str to str
        Versions of Python and of the packages that count for its numbers.
    details : dict
        Other fields that ``Study.update_run`` was given.
    started : str
        UTC, ISO 8601.
    finished : str or None
        UTC, ISO 8601; None while it is running, and where its program was killed.
    folder : Path
        Where checkpoints and maps go.
    """

    identifier: str
    method: str
    status: RunStatus
    settings: dict[str, Any]
    seed: int
    label_hash: str
    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]
    versions: dict[str, str]
    details: dict[str, Any]
    started: str
    finished: str | None
    folder: Path

    @property
    def last_label_hash(self) -> str:
        """The hash of the labels that it learnt from when it was last started."""
        return self.label_hash.rpartition(THEN)[2]

    @property
    def learnt_from(self) -> tuple[str, ...]:
        """Names of the cases whose labels its weights have ever learnt from.

        Those of earlier starts and of the run whose weights it began with are among them.
        """
        return tuple(dict.fromkeys([*self.labelled, *self.details.get(EARLIER_LABELLED, ())]))

    @property
    def has_checkpoint(self) -> bool:
        """Whether the folder holds a file ``checkpoint*``, or one inside ``checkpoints``."""
        return any(
            entry.is_file() or any(entry.iterdir()) for entry in self.folder.glob("checkpoint*")
        )


def _run(row: sqlite3.Row, runs_folder: Path, running: RunningRuns) -> Run:
    status: RunStatus = row["status"]
    if status == "running" and not running.is_held(row["identifier"]):
        status = "stopped"
    return Run(
        identifier=row["identifier"],
        method=row["method"],
        status=status,
        settings=json.loads(row["settings"]),
        seed=row["seed"],
        label_hash=row["label_hash"],
        labelled=tuple(json.loads(row["labelled"])),
        unlabelled=tuple(json.loads(row["unlabelled"])),
        versions=json.loads(row["versions"]),
        details=json.loads(row["details"]),
        started=row["started_at"],
        finished=row["finished_at"],
        folder=runs_folder / row["identifier"],
    )


def _insert(connection: sqlite3.Connection, row: Mapping[str, str | int]) -> None:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO runs ({columns}) VALUES ({marks})", tuple(row.values()))


class RunTable:
    """The runs in the records of a study.

    Parameters
    ----------
    records : Records
        The records of the study.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._folder = records.folder / "runs"
        self._running = RunningRuns(self._folder)

    def close(self) -> None:
        """Let go of the runs that this program was training."""
        self._running.release_all()

    def create(
        self,
        method: str,
        settings: Mapping[str, Any],
        seed: int,
        *,
        label_hash: str,
        labelled: Sequence[str],
        unlabelled: Sequence[str],
        earlier_labelled: Sequence[str] = (),
    ) -> Run:
        """Record a new run as running and make its folder, with ``settings.json`` for people.

        Parameters
        ----------
        method, settings, seed, label_hash, labelled, unlabelled
            As in :class:`Run`.
        earlier_labelled : sequence of str
            Cases that the weights it begins with have learnt from.

        Returns
        -------
        Run
            With the next free number.

        Raises
        ------
        StudyError
            If the disk refuses.
        """
        described = {
            "method": method,
            "settings": plain(settings),
            "seed": int(seed),
            "label_hash": label_hash,
            "labelled": list(labelled),
            "unlabelled": list(unlabelled),
            "versions": installed_versions(),
        }
        with self._records.transaction() as connection:
            highest = connection.execute("SELECT max(number) FROM runs").fetchone()[0]
            number = (highest or 0) + 1
            identifier = f"{number:03d}-{method}"
            folder = self._folder / identifier
            folder.mkdir(parents=True, exist_ok=True)
            write_text(folder / "settings.json", json.dumps(described, indent=2) + "\n")
            self._running.hold(identifier)
            row = {
                key: value if isinstance(value, str | int) else json.dumps(value)
                for key, value in described.items()
            }
            row |= {"number": number, "identifier": identifier, "status": "running"}
            row["started_at"] = now()
            if earlier_labelled:
                row["details"] = json.dumps({EARLIER_LABELLED: list(earlier_labelled)})
            _insert(connection, row)
        return self.one(identifier)

    def resume(
        self,
        identifier: str,
        settings: Mapping[str, Any],
        *,
        label_hash: str,
        labelled: Sequence[str],
        unlabelled: Sequence[str],
    ) -> Run:
        """Record that a run goes on, with the settings and labels of now.

        A run whose labels have changed on the way is one of neither set of labels: its hash becomes
        one that no set has. ``settings.json`` keeps what the run was started with.

        Parameters
        ----------
        identifier, settings, label_hash, labelled, unlabelled
            As in :class:`Run`.

        Raises
        ------
        StudyError
            If there is no such run, or another program is training it.
        """
        former = self.one(identifier)
        earlier = {EARLIER_LABELLED: list(former.learnt_from)}
        self.update(identifier, "running", earlier)
        if label_hash == former.last_label_hash:
            label_hash = former.label_hash
        else:
            label_hash = former.label_hash + THEN + label_hash
        with self._records.transaction() as connection:
            connection.execute(
                "UPDATE runs SET settings = ?, label_hash = ?, labelled = ?, unlabelled = ? "
                "WHERE identifier = ?",
                (
                    json.dumps(plain(settings)),
                    label_hash,
                    json.dumps(list(labelled)),
                    json.dumps(list(unlabelled)),
                    identifier,
                ),
            )
        return self.one(identifier)

    def all(self) -> list[Run]:
        """Return all runs, oldest first.

        Returns
        -------
        list of Run
            A snapshot.
        """
        rows = self._records.query("SELECT * FROM runs ORDER BY number")
        return [_run(row, self._folder, self._running) for row in rows]

    def one(self, identifier: str) -> Run:
        """Return the run with this identifier.

        Parameters
        ----------
        identifier : str
            Identifier of the run.

        Returns
        -------
        Run
            A snapshot.

        Raises
        ------
        StudyError
            If the study has no such run.
        """
        rows = self._records.query("SELECT * FROM runs WHERE identifier = ?", (identifier,))
        if rows:
            return _run(rows[0], self._folder, self._running)
        known = [run.identifier for run in self.all()][-5:]
        advice = f"choose one of {', '.join(known)}" if known else "train first"
        raise StudyError(
            f"The study {self._records.folder.stem} has no run '{identifier}': {advice}."
        )

    def newest_usable(self) -> Run:
        """Return the newest run that is finished, or has a checkpoint and did not fail.

        A run that is going on counts with its last checkpoint.

        Returns
        -------
        Run
            A snapshot.

        Raises
        ------
        StudyError
            If no run can be used yet.
        """
        for run in reversed(self.all()):
            if run.status == "finished" or (run.status != "failed" and run.has_checkpoint):
                return run
        raise StudyError(
            f"The study {self._records.folder.stem} has no trained run yet: train first."
        )

    def update(self, identifier: str, status: str | None, fields: Mapping[str, Any]) -> Run:
        """Change the status of a run and keep further fields in its details.

        Parameters
        ----------
        identifier : str
            Identifier of the run.
        status : str or None
            The new status; None leaves it.
        fields : Mapping[str, Any]
            Added to ``Run.details``; a field that is there already is replaced.

        Returns
        -------
        Run
            As it is now.

        Raises
        ------
        StudyError
            If there is no such run or status, or another program is training the run that is to go
            on here.
        """
        if status is not None and status not in get_args(RunStatus):
            raise StudyError(
                f"A run cannot be '{status}': choose one of {', '.join(get_args(RunStatus))}."
            )
        self.one(identifier)
        if status == "running":
            self._running.hold(identifier)
        with self._records.transaction() as connection:
            statement = "SELECT status, details, finished_at FROM runs WHERE identifier = ?"
            row = connection.execute(statement, (identifier,)).fetchone()
            details = json.loads(row["details"]) | cast(dict[str, Any], plain(fields))
            status = status or row["status"]
            ended = None if status == "running" else row["finished_at"] or now()
            connection.execute(
                "UPDATE runs SET status = ?, details = ?, finished_at = ? WHERE identifier = ?",
                (status, json.dumps(details), ended, identifier),
            )
        if status != "running":
            self._running.release(identifier)
        return self.one(identifier)

    def record_metrics(self, run: str, case: int, metrics: Mapping[str, Any]) -> None:
        """Keep what was measured of a case with a run, in place of the former.

        Parameters
        ----------
        run : str
            Identifier of the run.
        case : int
            Identifier of the case.
        metrics : Mapping[str, Any]
            As JSON can hold it: keys become strings.

        Raises
        ------
        StudyError
            If the disk refuses.
        """
        with self._records.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO metrics (run, case_identifier, metrics) VALUES (?, ?, ?)",
                (run, case, json.dumps(plain(metrics))),
            )

    def metrics(self, run: str) -> dict[str, dict[str, Any]]:
        """Return what was measured with a run.

        Parameters
        ----------
        run : str
            Identifier of the run.

        Returns
        -------
        dict
            Case name to metrics, in the order of the cases.
        """
        rows = self._records.query(
            "SELECT cases.name, metrics.metrics FROM metrics "
            "JOIN cases ON cases.identifier = metrics.case_identifier "
            "WHERE metrics.run = ? ORDER BY cases.identifier",
            (run,),
        )
        return {row["name"]: json.loads(row["metrics"]) for row in rows}
