"""Scans with labels from folders: adding many cases at once, as the command line does.

Labels are matched to scans by file name, also where the scan is in the study already. A label that a
person made is never replaced. One bad file stops none of the others; every problem is kept as a
sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_semiseg.engine.errors import BadLabel, SemisegError, StudyError
from napari_semiseg.engine.study.scans.adding import ScanProblem
from napari_semiseg.engine.study.study import Study
from napari_semiseg.engine.volumes.formats import label_endings


@dataclass(frozen=True)
class CaseLists:
    """Which cases get their label, and which are locked away.

    Attributes
    ----------
    labelled : tuple of str or None
        Names of the cases whose labels are taken over; None takes every label that is there.
    held_out : tuple of str
        Names of the cases to lock away; their labels are taken over to measure on.
    """

    labelled: tuple[str, ...] | None
    held_out: tuple[str, ...]

    @classmethod
    def read(cls, labelled: Path | None, held_out: Path | None) -> CaseLists:
        """Read list files with one case name a line.

        Raises
        ------
        StudyError
            A list cannot be read, or a case stands in both.
        """
        wanted = None if labelled is None else _names(labelled)
        locked = () if held_out is None else _names(held_out)
        both = sorted(set(wanted or ()) & set(locked))
        if both:
            raise StudyError(
                f"“{both[0]}” stands in both lists; a held-out case must not be trained on."
            )
        return cls(wanted, locked)

    def wants_label(self, case: str) -> bool:
        """Tell whether the label of ``case`` is to be taken over."""
        return self.labelled is None or case in self.labelled or case in self.held_out


@dataclass(frozen=True)
class ImportStep:
    """What was done with one case.

    Attributes
    ----------
    case : str
        Its name in the study; the name of the scan where that is no case.
    added : bool
        Whether the scan is new to the study.
    labelled, held_out : bool
        Whether its label was taken over, and whether it was locked away.
    kept : bool
        Whether there was a label to take over, and a person's label stayed in its place.
    problem : str
        What went wrong, a sentence; empty where nothing did.
    """

    case: str
    added: bool = False
    labelled: bool = False
    held_out: bool = False
    kept: bool = False
    problem: str = ""


@dataclass(frozen=True)
class ImportSummary:
    """What was done in all: how many cases, as in `ImportStep`.

    ``labelled_before`` of ``labelled`` are cases that were in the study already.
    """

    added: int = 0
    labelled: int = 0
    labelled_before: int = 0
    held_out: int = 0
    kept: int = 0
    problems: tuple[str, ...] = ()

    def with_step(self, step: ImportStep) -> ImportSummary:
        """Count one more step."""
        return replace(
            self,
            added=self.added + step.added,
            labelled=self.labelled + step.labelled,
            labelled_before=self.labelled_before + (step.labelled and not step.added),
            held_out=self.held_out + step.held_out,
            kept=self.kept + step.kept,
            problems=(*self.problems, step.problem) if step.problem else self.problems,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and problems, ready for JSON."""
        return {
            "added": self.added,
            "labelled": self.labelled,
            "labelled_before": self.labelled_before,
            "held_out": self.held_out,
            "kept": self.kept,
            "problems": list(self.problems),
        }

    @property
    def sentence(self) -> str:
        """What was done, for people."""
        before = self.labelled_before
        parts = [
            f"Added {self.added} scans",
            f"took over {self.labelled} labels"
            + (f" ({before} of scans that were in the study already)" if before else ""),
            *([f"kept {self.kept} labels that a person made"] if self.kept else []),
            f"locked {self.held_out} held-out cases",
        ]
        return f"{', '.join(parts)}; {len(self.problems)} problems."


def import_cases(
    study: Study, scans: Sequence[Path], labels: Path | None, lists: CaseLists
) -> Iterator[ImportStep]:
    """Add scans and, for each, take over its label and lock it as the lists say.

    A scan that is in the study already gets the label too, unless a person made the one that it has;
    it is a problem only where there is nothing to take over.

    Parameters
    ----------
    lists : CaseLists
        See there; a name in a list that is not a case of the study is a problem.

    Yields
    ------
    ImportStep
        One for each scan found and each name in a list that has none.
    """
    if labels is not None and not labels.is_dir():
        raise StudyError(f"The label folder {labels} is not there; give an existing folder.")
    if labels is None and lists.labelled is not None:
        raise StudyError(
            "A list of labelled cases needs the folder of their label files; give it with --labels."
        )
    for found in study.scans.add_all(scans):
        if not isinstance(found, ScanProblem):
            yield _label_and_lock(study, ImportStep(found.name, added=True), labels, lists)
        elif found.known_as is not None:
            step = _label_and_lock(study, ImportStep(found.known_as), labels, lists)
            nothing = step == ImportStep(found.known_as)
            yield replace(step, problem=found.sentence) if nothing else step
        else:
            yield ImportStep(found.source.name, problem=found.sentence)
    known = {case.name for case in study.cases()}
    for name in [*(lists.labelled or ()), *lists.held_out]:
        if name not in known:
            yield ImportStep(name, problem=f"The list names “{name}”, but no scan has that name.")


def _label_and_lock(
    study: Study, step: ImportStep, labels: Path | None, lists: CaseLists
) -> ImportStep:
    name = step.case
    try:
        case = study.case(name)
        # Locked first: with a label that cannot be read, the scan must not be trained on either.
        if name in lists.held_out and not case.held_out:
            study.hold_out(name)
            step = replace(step, held_out=True)
        if labels is not None and lists.wants_label(name):
            path = _label_file(labels, name)
            if path is not None and case.label_belongs_to_a_person:
                step = replace(step, kept=True)
            elif path is not None:
                study.labels.import_file(name, path)
                step = replace(step, labelled=True)
            elif lists.labelled is not None:
                raise BadLabel(f"The folder {labels} has no label file for “{name}”.")
    except SemisegError as problem:
        return replace(step, problem=f"{name}: {problem}")
    return step


def _label_file(folder: Path, case: str) -> Path | None:
    return next(
        (folder / f"{case}{end}" for end in label_endings() if (folder / f"{case}{end}").exists()),
        None,
    )


def _names(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise StudyError(
            f"The list {path} cannot be read; give a text file with one case name a line."
        ) from problem
    return tuple(line.strip() for line in lines if line.strip())
