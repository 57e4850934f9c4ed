"""What the desk does with the scans of the open study."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from napari_semiseg.engine.errors import SemisegError
from napari_semiseg.engine.study import ScanProblem, Study
from napari_semiseg.engine.study.scans.checks import find_missing
from napari_semiseg.gui.open_study.records import JobStep


def add_scans(study: Study, paths: Sequence[str | Path]) -> Generator[JobStep, None, list[str]]:
    """Add scans from files and folders.

    Yields
    ------
    JobStep
        One for each scan that was looked at.

    Returns
    -------
    list of str
        Why scans were not added, a sentence each.
    """
    problems: list[str] = []
    yield JobStep(None, "looking for scans")
    for count, outcome in enumerate(study.add_scans(paths), start=1):
        if isinstance(outcome, ScanProblem):
            problems.append(outcome.sentence)
            yield JobStep(None, f"{count} looked at")
        else:
            yield JobStep(None, f"{count} looked at, {outcome.name} added")
    return problems


def locate_scans(study: Study, place: str | Path) -> Generator[JobStep, None, tuple[int, int]]:
    """Find scans that moved, and those that lie beside one that is found.

    Parameters
    ----------
    study : Study
        Open study.
    place : str or Path
        A folder, or the file of one scan.

    Yields
    ------
    JobStep
        Where it looks.

    Returns
    -------
    tuple of int
        How many scans were found, and how many are still missing.
    """
    place = Path(place)
    yield JobStep(None, place.name)
    found = len(study.relocate_scans(place))
    if found and place.is_file():
        # the others of its folder are likely to have moved with it
        yield JobStep(None, place.parent.name)
        found += len(study.relocate_scans(place.parent))
    return found, sum(find_missing(case) is not None for case in study.cases())


def import_labels(study: Study, paths: Sequence[str | Path]) -> Generator[JobStep, None, list[str]]:
    """Take label files over as finished labels; a file belongs to the case with its name.

    Returns
    -------
    list of str
        Why labels were not taken over, a sentence each.
    """
    problems: list[str] = []
    for index, path in enumerate(map(Path, paths)):
        name = path.name.split(".")[0]
        yield JobStep(index / len(paths), name)
        try:
            study.import_label(name, path)
        except SemisegError as problem:
            problems.append(str(problem))
    return problems
