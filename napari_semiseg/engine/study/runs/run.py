"""One training run, as the records know it."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from napari_semiseg.engine.study.runs.locks import RunningRuns

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
        ``study.labels.snapshot_hash()`` when it started; one that no labels have where they changed
        before it went on.
    labelled, unlabelled : tuple of str
        Names of the cases that it could learn from when it was last started.
    versions : dict of str to str
        Versions of Python and of the packages that count for its numbers.
    details : dict
        Other fields that ``study.runs.update`` was given.
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


def run_of_row(row: sqlite3.Row, runs_folder: Path, running: RunningRuns) -> Run:
    """Return a run of the records; one that nobody trains any more is stopped."""
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


def identifier_of(run: Run | str) -> str:
    """Return the identifier of a run that is given by itself or by its identifier."""
    return run if isinstance(run, str) else run.identifier
