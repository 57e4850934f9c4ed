"""Labels of a study as files for other programs, on the grids of their scans.

Nothing that leaves the study names a patient or a folder.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.cases import Case, CaseState
from napari_semiseg.engine.study.done_slices import NOT_ANNOTATED
from napari_semiseg.engine.study.storage import storage_errors, write_text
from napari_semiseg.engine.study.study import Study
from napari_semiseg.engine.study.time_spent import TIME_COLUMNS, time_rows
from napari_semiseg.engine.volumes.formats import in_words, writable_endings
from napari_semiseg.engine.volumes.writing import write_label

_TABLE = "labels.csv"
_COLUMNS = ("case", "file", "origin", "state", "saved at")
_PROVENANCE = "provenance.csv"
_PROVENANCE_COLUMNS = ("case", "class", "source", "voxels", "mL")
_TIME = "annotation_time.csv"
_WITH_LABEL = (CaseState.IN_PROGRESS, CaseState.LABELLED, CaseState.ACCEPTED)
_SourceRow = tuple[str, str, str, int, str]
_README = "For research use only; not a medical device.\n"


def export_labels(study: Study, folder: str | Path, file_type: str = ".nii.gz") -> list[Path]:
    """Write the labels that people made or accepted, with a table of them.

    Labels in progress and of held-out cases are among them, and the table says so; labels of
    rejected predictions are not. Voxels that nobody has decided on hold 255, not background. A second
    table, ``provenance.csv``, tells how many voxels and millilitres of each class a person drew or
    accepted from which run; a third, ``annotation_time.csv``, how long that took.

    Parameters
    ----------
    folder : str or Path
        Where to write; made if it is missing. Only files of an earlier export are replaced.
    file_type : str
        One of `volumes.formats.writable_endings`.

    Returns
    -------
    list of Path
        The label files, in the order of the cases.

    Raises
    ------
    StudyError
        If the file type is unknown, a file that is no export is in the way, or the disk refuses.
    """
    if file_type not in writable_endings():
        raise StudyError(
            f"Labels cannot be exported as '{file_type}': choose one of {in_words(writable_endings())}."
        )
    target = Path(folder)
    cases = [case for case in study.cases() if case.has_label and case.hidden_state in _WITH_LABEL]
    files = _file_names(cases, target, file_type)
    class_names = {item.value: item.name for item in study.classes}
    with storage_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        _refuse_foreign_files(target, files, file_type)
        # the table first: after an interruption it still tells which files are ours to replace
        write_text(target / "README.txt", _README)
        write_text(target / _TABLE, _table(cases, files))
        sources: list[_SourceRow] = []
        for case, file in zip(cases, files, strict=True):
            label = study.labels.load_for_training(case.name)
            if label is not None:
                sparse = {} if case.done_slices is None else {NOT_ANNOTATED: "not annotated"}
                write_label(file, label, case.geometry, class_names | sparse)
                sources += _sources(study, case, label, class_names)
        spent = time_rows((case.name, case.time) for case in study.cases())
        write_text(target / _TIME, _csv(TIME_COLUMNS, spent))
        write_text(target / _PROVENANCE, _csv(_PROVENANCE_COLUMNS, sources))
    return files


def _sources(
    study: Study, case: Case, label: np.ndarray, class_names: Mapping[int, str]
) -> Iterator[_SourceRow]:
    """Tell where the voxels of each class of an exported label come from."""
    provenance = study.labels.parts.provenance(case.name)
    if provenance is None:
        return
    for value, counts in provenance.voxels_by_class(label).items():
        if value not in class_names:
            continue  # not annotated
        for source, voxels in counts.items():
            millilitres = f"{voxels * case.geometry.voxel_volume_ml:.4f}"
            yield case.name, class_names[value], source, voxels, millilitres


def _file_names(cases: Sequence[Case], folder: Path, file_type: str) -> list[Path]:
    """Return one file a case; signs that file systems refuse become underscores."""
    files: list[Path] = []
    taken: set[str] = set()
    for case in cases:
        stem = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in case.name)
        stem = stem.lstrip(".") or "case"
        if stem.casefold() in taken:
            stem = f"{stem}-{case.identifier}"
        taken.add(stem.casefold())
        files.append(folder / f"{stem}{file_type}")
    return files


def _refuse_foreign_files(folder: Path, files: Sequence[Path], file_type: str) -> None:
    """Refuse to replace anything that an earlier export did not write, such as the scans."""
    readme = folder / "README.txt"
    foreign = [readme] if readme.exists() and readme.read_text("utf-8") != _README else []
    own: set[str] = set()
    tables = ((_TABLE, _COLUMNS), (_PROVENANCE, _PROVENANCE_COLUMNS), (_TIME, TIME_COLUMNS))
    for table, columns in tables:
        if (folder / table).exists():
            with open(folder / table, encoding="utf-8", newline="") as stream:
                reader = csv.DictReader(stream)
                own |= {row["file"] for row in reader if row.get("file")}
            if tuple(reader.fieldnames or ()) != columns:
                foreign.append(folder / table)
    for file in files:
        sidecar = file.with_name(file.name.removesuffix(file_type) + ".json")
        if file.name not in own:
            foreign += [path for path in (file, sidecar) if path.exists()]
    if foreign:
        raise StudyError(
            f"{foreign[0]} is in the way and was not written by an export of labels: choose an "
            "empty folder for the export."
        )


def _table(cases: Sequence[Case], files: Sequence[Path]) -> str:
    rows = [
        (case.name, file.name, case.label_origin, case.state.value, case.label_saved_at)
        for case, file in zip(cases, files, strict=True)
    ]
    return _csv(_COLUMNS, rows)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()
