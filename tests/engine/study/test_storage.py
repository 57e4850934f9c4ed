from __future__ import annotations

import errno
import json
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.storage import (
    plain,
    staging,
    storage_errors,
    write_array,
    write_text,
)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x"), "is full"),
        (OSError(errno.EROFS, "x"), "cannot be written"),
        (PermissionError(errno.EACCES, "x"), "cannot be written"),
        (OSError(errno.EIO, "input output"), "check the disk"),
        (sqlite3.OperationalError("database is locked"), "in use by another program"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "cannot be written"),
        (sqlite3.DatabaseError("database disk image is malformed"), "damaged"),
    ],
)
def test_what_the_disk_refuses_is_one_sentence_with_the_folder(
    error: Exception, words: str
) -> None:
    with pytest.raises(StudyError, match=words) as caught, storage_errors(Path("liver.semiseg")):
        raise error
    assert "liver.semiseg" in str(caught.value)
    assert caught.value.__cause__ is error


def test_values_become_what_json_holds() -> None:
    value = {1: np.float32(0.5), "path": Path("a/b"), "list": (np.arange(2), np.bool_(True))}
    assert plain(value) == {"1": 0.5, "path": "a/b", "list": [[0, 1], True]}
    json.dumps(plain(value))


def test_an_array_that_cannot_be_forced_to_the_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "input output")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="input output"), staging(tmp_path / "labels") as staged:
        write_array(staged, np.zeros((2, 3, 4), np.uint8), {})
    assert list((tmp_path / "labels").iterdir()) == []


def test_a_text_that_cannot_be_written_leaves_the_former_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "labels.csv"
    write_text(file, "former\n")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match="full"):
            write_text(file, "new\n")
    assert file.read_text() == "former\n"
    assert list(tmp_path.iterdir()) == [file]
