"""The training runs of a study: their settings, their state, and the metrics measured with them.

Each run has a row in the records and the folder ``runs/<identifier>`` for its checkpoints and maps.
"""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Mapping
from importlib import metadata
from typing import Any, cast, get_args

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.cases import recorded_case, recorded_cases
from napari_semiseg.engine.study.decisions import now
from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.study.runs.learnt_from import learnt_from
from napari_semiseg.engine.study.runs.locks import RunningRuns
from napari_semiseg.engine.study.runs.maps import Maps
from napari_semiseg.engine.study.runs.run import (
    EARLIER_LABELLED,
    THEN,
    Run,
    RunStatus,
    identifier_of,
    run_of_row,
)
from napari_semiseg.engine.study.storage import plain, write_text


def _insert(connection: sqlite3.Connection, row: Mapping[str, str | int]) -> None:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO runs ({columns}) VALUES ({marks})", tuple(row.values()))


PACKAGES = ("napari-semiseg", "numpy", "torch", "monai", "lightning-fabric", "SimpleITK", "zarr")
"""What the numbers of a run depend on: their versions are recorded with it."""


class Runs:
    """``study.runs``: the runs of one study.

    A run is given by itself or by its identifier. Every method that takes one raises StudyError if
    the study has no such run.

    Attributes
    ----------
    maps : Maps
        What the runs predicted.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._folder = records.folder / "runs"
        self._running = RunningRuns(self._folder)
        self.maps = Maps(records, self.get)

    def close(self) -> None:
        """Let go of the runs that this program was training."""
        self._running.release_all()

    def create(
        self, method: str, settings: Mapping[str, Any], seed: int, former: Run | None = None
    ) -> Run:
        """Record a new run as running, with the labels of now and the weights of a ``former`` one.

        Its folder is made, with ``settings.json`` for people; its number is the next free one.
        """
        described = {
            "method": method,
            "settings": plain(settings),
            "seed": int(seed),
            **learnt_from(recorded_cases(self._records)),
            "versions": _installed_versions(),
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
            if former is not None and former.learnt_from:
                row["details"] = json.dumps({EARLIER_LABELLED: list(former.learnt_from)})
            _insert(connection, row)
        return self.get(identifier)

    def resume(self, run: Run | str, settings: Mapping[str, Any]) -> Run:
        """Record that a run goes on with other settings, such as a budget, and the labels of now.

        A run whose labels have changed on the way is one of neither set of labels: its hash becomes
        one that no set has. ``settings.json`` keeps what the run was started with. StudyError tells
        that another program is training it.
        """
        identifier = identifier_of(run)
        now_learnt_from = learnt_from(recorded_cases(self._records))
        former = self.get(identifier)
        self.update(identifier, "running", **{EARLIER_LABELLED: list(former.learnt_from)})
        label_hash = former.label_hash
        if now_learnt_from["label_hash"] != former.last_label_hash:
            label_hash += THEN + now_learnt_from["label_hash"]
        with self._records.transaction() as connection:
            connection.execute(
                "UPDATE runs SET settings = ?, label_hash = ?, labelled = ?, unlabelled = ? "
                "WHERE identifier = ?",
                (
                    json.dumps(plain(settings)),
                    label_hash,
                    json.dumps(now_learnt_from["labelled"]),
                    json.dumps(now_learnt_from["unlabelled"]),
                    identifier,
                ),
            )
        return self.get(identifier)

    def all(self) -> list[Run]:
        """Return all runs, oldest first."""
        rows = self._records.query("SELECT * FROM runs ORDER BY number")
        return [run_of_row(row, self._folder, self._running) for row in rows]

    def get(self, identifier: str | None = None) -> Run:
        """Return a run; None means the newest that can be used.

        That is one that is finished, or has a checkpoint and did not fail; a run that is going on
        counts with its last checkpoint. StudyError tells that there is none.
        """
        if identifier is None:
            return self._newest_usable()
        rows = self._records.query("SELECT * FROM runs WHERE identifier = ?", (identifier,))
        if rows:
            return run_of_row(rows[0], self._folder, self._running)
        known = [run.identifier for run in self.all()][-5:]
        advice = f"choose one of {', '.join(known)}" if known else "train first"
        raise StudyError(
            f"The study {self._records.folder.stem} has no run '{identifier}': {advice}."
        )

    def _newest_usable(self) -> Run:
        for run in reversed(self.all()):
            if run.status == "finished" or (run.status != "failed" and run.has_checkpoint):
                return run
        raise StudyError(
            f"The study {self._records.folder.stem} has no trained run yet: train first."
        )

    def update(self, run: Run | str, status: str | None = None, **fields: Any) -> Run:
        """Change the status of a run and keep fields in ``Run.details``; return it anew.

        A status of None stays as it is, and a field that is there already is replaced. StudyError
        tells of an unknown status, and of another program that trains the run that is to go on here.
        """
        if status is not None and status not in get_args(RunStatus):
            raise StudyError(
                f"A run cannot be '{status}': choose one of {', '.join(get_args(RunStatus))}."
            )
        identifier = self.get(identifier_of(run)).identifier
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
        return self.get(identifier)

    def record_metrics(self, run: Run | str, case: str, metrics: Mapping[str, Any]) -> None:
        """Keep what was measured of a case with a run; keys become strings, as in JSON."""
        identifier = self.get(identifier_of(run)).identifier
        number = recorded_case(self._records, case).identifier
        with self._records.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO metrics (run, case_identifier, metrics) VALUES (?, ?, ?)",
                (identifier, number, json.dumps(plain(metrics))),
            )

    def metrics(self, run: Run | str) -> dict[str, dict[str, Any]]:
        """Return what was measured with a run: case name to metrics, in the order of the cases."""
        rows = self._records.query(
            "SELECT cases.name, metrics.metrics FROM metrics "
            "JOIN cases ON cases.identifier = metrics.case_identifier "
            "WHERE metrics.run = ? ORDER BY cases.identifier",
            (self.get(identifier_of(run)).identifier,),
        )
        return {row["name"]: json.loads(row["metrics"]) for row in rows}


def _installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that count, by name."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # an optional package, or the program runs from its source folder
    return versions
