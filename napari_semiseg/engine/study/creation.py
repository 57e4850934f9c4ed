"""The making of a new study folder, whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.classes import ClassInfo, checked_classes, write_classes
from napari_semiseg.engine.study.decisions import now
from napari_semiseg.engine.study.records import FILE_NAME, Records
from napari_semiseg.engine.study.storage import STAGED_PREFIX, storage_errors

SUFFIX = ".semiseg"


def create_study_folder(path: str | Path, classes: Iterable[ClassInfo], name: str | None) -> Path:
    """Make the folder of a new study with its records.

    Parameters
    ----------
    path : str or Path
        The folder to make; ``.semiseg`` is added where it is missing.
    classes : iterable of ClassInfo
        At least one.
    name : str or None
        What to call the study; None takes the name of the folder.

    Raises
    ------
    StudyError
        If it exists and is not empty, the classes contradict each other, or the disk refuses.
    """
    folder = Path(os.path.abspath(path))
    if folder.suffix != SUFFIX:
        folder = folder.with_name(folder.name + SUFFIX)
    checked = checked_classes(classes)
    with storage_errors(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StudyError(
                f"{folder} exists already: open it, or choose another name for the new study."
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        # made under another name, so that nobody ever sees half a study
        staged = folder.with_name(f"{STAGED_PREFIX}{uuid.uuid4().hex}")
        try:
            _fill(staged, checked, name or folder.stem)
            if folder.exists():
                folder.rmdir()
            os.replace(staged, folder)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return folder


def existing_study_folder(path: str | Path) -> Path:
    """Return the folder that a user means, who may have left out ``.semiseg``.

    Parameters
    ----------
    path : str or Path
        The folder of a study, with or without ``.semiseg``.

    Returns
    -------
    Path
        Absolute; it may still hold no study.
    """
    folder = Path(os.path.abspath(path))
    with_suffix = folder.with_name(folder.name + SUFFIX)
    is_study = (folder / FILE_NAME).is_file()
    return with_suffix if not is_study and (with_suffix / FILE_NAME).is_file() else folder


def _fill(folder: Path, classes: Sequence[ClassInfo], name: str) -> None:
    for part in ("labels", "runs", "cache"):
        (folder / part).mkdir(parents=True)
    records = Records(folder)
    try:
        records.create()
        with records.transaction() as connection:
            connection.execute(
                "INSERT INTO study (only_row, name, created_at) VALUES (1, ?, ?)", (name, now())
            )
            write_classes(connection, classes)
    finally:
        records.close()
