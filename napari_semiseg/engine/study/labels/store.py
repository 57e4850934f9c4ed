"""The labels of a study on disk: one zarr folder a save, the last two kept.

A label is complete on the disk before the records point to it, so a program that is killed at any
moment leaves the former label or the new one. Inside its folder lies a second array, the provenance
of its voxels, which therefore comes, stays and goes with its label. Only the labelling rules call this
file, on any thread; which version counts is for the records to say.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from napari_semiseg.engine.study.labels.provenance import Provenance
from napari_semiseg.engine.study.storage import (
    remove_abandoned,
    stage_array,
    sync_folder,
)

_PROVENANCE = "provenance"
"""Name of the array inside the folder of a label; programs that do not know it pass it over."""


def label_hash(voxels: np.ndarray) -> str:
    """Return the SHA-256 of a label.

    Parameters
    ----------
    voxels : np.ndarray
        (z, y, x), uint8.

    Returns
    -------
    str
        Hexadecimal; depends on shape and values only.
    """
    digest = hashlib.sha256(repr(tuple(int(size) for size in voxels.shape)).encode())
    digest.update(np.ascontiguousarray(voxels).data)
    return digest.hexdigest()


class LabelStore:
    """The folder ``labels`` of a study.

    Parameters
    ----------
    folder : Path
        ``labels`` inside the study folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _case_folder(self, case: int) -> Path:
        return self._folder / str(case)

    def _version_folder(self, case: int, version: int) -> Path:
        return self._case_folder(case) / f"{version:04d}.zarr"

    def stage(self, case: int, voxels: np.ndarray, provenance: Provenance) -> Path:
        """Write a label under a temporary name, complete and forced to the disk.

        Parameters
        ----------
        case : int
            Identifier of the case.
        voxels : np.ndarray
            (z, y, x), uint8.
        provenance : Provenance
            Where its voxels come from.

        Returns
        -------
        Path
            For :meth:`publish` or :meth:`discard`.

        Raises
        ------
        OSError
            If the disk refuses; nothing is left behind.
        """
        staged = stage_array(self._case_folder(case), voxels, {})
        try:
            attributes = {**provenance.to_attributes(), "hash": label_hash(provenance.codes)}
            os.replace(stage_array(staged, provenance.codes, attributes), staged / _PROVENANCE)
            sync_folder(staged)
        except BaseException:
            self.discard(staged)
            raise
        return staged

    def publish(self, case: int, staged: Path) -> int:
        """Give a staged label its version number.

        Call it inside the writing transaction that makes the records point to the version: nobody
        else can take the same number meanwhile.

        Parameters
        ----------
        case : int
            Identifier of the case.
        staged : Path
            What :meth:`stage` returned.

        Returns
        -------
        int
            Higher than that of every other version on the disk.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        version = max(self._versions(case), default=0) + 1
        os.replace(staged, self._version_folder(case, version))
        sync_folder(self._case_folder(case))
        return version

    def discard(self, staged: Path) -> None:
        """Remove a staged label that was not published.

        Parameters
        ----------
        staged : Path
            What :meth:`stage` returned; nothing happens where it was published.
        """
        shutil.rmtree(staged, ignore_errors=True)

    def read(self, case: int, version: int, expected_hash: str) -> np.ndarray | None:
        """Return one version of a label if it is complete.

        Parameters
        ----------
        case, version : int
            Identifier of the case and number of the label.
        expected_hash : str
            :func:`label_hash` of what was saved.

        Returns
        -------
        np.ndarray or None
            (z, y, x), uint8, free to change; None where the version is gone or damaged.
        """
        found = _read_array(self._version_folder(case, version))
        # zarr reads a missing chunk as zeros, so only the hash proves that the label is whole
        return found[0] if found is not None and label_hash(found[0]) == expected_hash else None

    def read_provenance(self, case: int, version: int) -> Provenance | None:
        """Return where the voxels of one version of a label come from.

        Parameters
        ----------
        case, version : int
            Identifier of the case and number of the label.

        Returns
        -------
        Provenance or None
            None where the version was saved before provenance was kept, is gone, or is damaged.
        """
        found = _read_array(self._version_folder(case, version) / _PROVENANCE)
        if found is None or label_hash(found[0]) != found[1].get("hash"):
            return None
        return Provenance.from_attributes(*found)

    def prune(self, case: int, keep: Collection[int]) -> None:
        """Remove the versions that the records no longer need, after the commit.

        Versions above the kept ones stay: another program may be about to point to them.

        Parameters
        ----------
        case : int
            Identifier of the case.
        keep : collection of int
            Versions that the records point to.
        """
        for version in self._versions(case):
            if version < max(keep) and version not in keep:
                shutil.rmtree(self._version_folder(case, version), ignore_errors=True)
        remove_abandoned(self._case_folder(case))

    def set_aside(self, case: int, name: str) -> None:
        """Move the labels of a removed case to ``labels/removed``.

        Parameters
        ----------
        case : int
            Identifier of the case.
        name : str
            Name of the case, for people who look for the labels.

        Raises
        ------
        OSError
            If the disk refuses; the labels stay where they are.
        """
        folder = self._case_folder(case)
        if folder.is_dir():
            removed = self._folder / "removed"
            removed.mkdir(exist_ok=True)
            readable = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name)
            os.replace(folder, removed / f"{case}-{readable}")

    def _versions(self, case: int) -> list[int]:
        folder = self._case_folder(case)
        if not folder.is_dir():
            return []
        return [int(entry.stem) for entry in folder.glob("*.zarr") if entry.stem.isdecimal()]


def _read_array(folder: Path) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Return an array and its attributes; None where it is missing or broken."""
    import zarr  # here, so that the desk opens sooner

    try:
        stored = zarr.open_array(folder, mode="r")
        return np.asarray(stored[...]), dict(stored.attrs)
    except (OSError, ValueError, RuntimeError, KeyError):
        return None  # zarr has many ways to say that an array is broken
