"""The scans of the open study: adding, holding out and removing them, and their classes and labels.

Main thread only, but for the functions at the end.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_semiseg.engine.errors import SemisegError
from napari_semiseg.engine.study import (
    DEFAULT_COLOURS,
    ClassInfo,
    ScanProblem,
    Study,
    export_labels,
)
from napari_semiseg.engine.study.scans.checks import find_missing
from napari_semiseg.gui.open_study.records import JobStep
from napari_semiseg.gui.scans import sample_studies

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow

FIRST_CLASSES = (ClassInfo(1, "structure", DEFAULT_COLOURS[0]),)
"""Classes of a new study until the user names them."""


class Scans:
    """What can be done with the scans of the open study.

    Attributes
    ----------
    problems : tuple of str
        Why files were not taken over the last time.
    """

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow) -> None:
        self._open = open_study
        self._on_show = on_show
        self.problems: tuple[str, ...] = ()
        open_study.leaving.connect(self._forget)

    def _forget(self) -> None:
        self.problems = ()

    # studies

    def new_study(self, path: str | Path, scans: Sequence[str | Path] = ()) -> None:
        """Make a study, open it, and add the scans in files and folders."""
        self._open.create(path, FIRST_CLASSES, lambda: self.add(scans))

    def new_sample_study(self, path: str | Path, downloaded: bool = False) -> None:
        """Make a study of the brains that come with the program, or of downloaded hippocampi."""
        brains = sample_studies.create_sample_study
        hippocampi = sample_studies.create_hippocampus_study
        if self._open.can_leave():
            self._open.start_job(
                "Making the sample study",
                hippocampi if downloaded else brains,
                path,
                done=self._open.take,
            )

    def export_labels(self, folder: str | Path) -> None:
        """Write the labels as NIfTI files on the grids of their scans."""
        self._open.change(
            lambda study: export_labels(study, folder),
            lambda files: self._open.tell(f"{len(files)} labels were written to {folder}."),
        )

    # scans and labels

    def add(self, paths: Sequence[str | Path]) -> None:
        """Add the scans in files and folders; why some were not added is told at the end."""
        study = self._open.study
        if study is not None and paths:
            self._open.start_job("Adding scans", add_scans, study, list(paths), done=self._on_added)

    def import_labels(self, paths: Sequence[str | Path]) -> None:
        """Take label files over as finished labels of the cases with their names."""
        study = self._open.study
        if study is not None and paths:
            self._open.start_job(
                "Importing labels", import_labels, study, list(paths), done=self._on_imported
            )

    def _on_added(self, problems: list[str] | None) -> None:
        self._tell_of("scan", problems)

    def _on_imported(self, problems: list[str] | None) -> None:
        self._tell_of("label", problems)
        self._on_show.show_again()

    def _tell_of(self, what: str, problems: list[str] | None) -> None:
        self.problems = tuple(problems or ())
        if len(self.problems) == 1:
            self._open.warn(self.problems[0])
        elif self.problems:
            self._open.warn(
                f"{len(self.problems)} {what}s were not taken over: the Scans page says why."
            )

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Change the classes; one that labels use cannot be dropped."""
        self._open.change(
            lambda study: study.set_classes(classes), lambda _: self._on_show.show_again()
        )

    def hold_out(self, name: str, locked: bool = True) -> None:
        """Lock a case away from training, or let it take part again."""
        self._open.change(lambda study: study.hold_out(name, locked))

    def remove(self, name: str) -> None:
        """Take a case out of the study; its scan stays where it is and its labels are kept aside."""
        if name == self._on_show.name:
            self._on_show.leave()
        self._open.change(lambda study: study.remove_case(name))


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
    for count, outcome in enumerate(study.scans.add_all(paths), start=1):
        if isinstance(outcome, ScanProblem):
            problems.append(outcome.sentence)
            yield JobStep(None, f"{count} looked at")
        else:
            yield JobStep(None, f"{count} looked at, {outcome.name} added")
    return problems


def locate_scans(study: Study, place: str | Path) -> Generator[JobStep, None, tuple[int, int]]:
    """Find scans that moved, and those that lie beside one that is found.

    Returns
    -------
    tuple of int
        How many scans were found, and how many are still missing.
    """
    place = Path(place)
    yield JobStep(None, place.name)
    found = len(study.scans.relocate(place))
    if found and place.is_file():
        # the others of its folder are likely to have moved with it
        yield JobStep(None, place.parent.name)
        found += len(study.scans.relocate(place.parent))
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
            study.labels.import_file(name, path)
        except SemisegError as problem:
            problems.append(str(problem))
    return problems
