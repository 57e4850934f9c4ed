"""The labels of a study on disk: one zarr folder a save, the last two kept.

A label is complete on the disk before the records point to it, so a program that is killed at any
moment leaves the former label or the new one. Inside its folder lies a second array, the provenance
of its voxels, which therefore comes, stays and goes with its label. Which version counts is for the
records to say.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_semiseg.engine.study.labels.provenance import Provenance
from napari_semiseg.engine.study.storage import (
    remove_abandoned,
    staging,
    sync_folder,
    write_array,
)

_PROVENANCE = "provenance"
"""Name of the array inside the folder of a label; programs that do not know it pass it over."""


def label_hash(voxels: np.ndarray) -> str:
    """Return the SHA-256 of a label (z, y, x) uint8 in hexadecimal: of its shape and its values."""
    digest = hashlib.sha256(repr(tuple(int(size) for size in voxels.shape)).encode())
    digest.update(np.ascontiguousarray(voxels).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class StagedLabel:
    """A label that is complete on the disk, and does not count yet.

    Attributes
    ----------
    folder : Path
        Where it lies under a temporary name.
    digest, provenance_digest : str
        `label_hash` of its voxels, and of the codes of its provenance.
    """

    folder: Path
    digest: str
    provenance_digest: str


class LabelStore:
    """The folder ``labels`` of a study.

    A case is given by its identifier, a label by that and its version number.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _case_folder(self, case: int) -> Path:
        return self._folder / str(case)

    def _version_folder(self, case: int, version: int) -> Path:
        return self._case_folder(case) / f"{version:04d}.zarr"

    def stage(self, case: int, voxels: np.ndarray, provenance: Provenance) -> StagedLabel:
        """Write a label, (z, y, x) uint8, under a temporary name, complete and forced to the disk.

        It is for :meth:`publish` or :meth:`discard`. OSError tells that the disk refuses; nothing is
        left behind then.
        """
        digest, provenance_digest = label_hash(voxels), label_hash(provenance.codes)
        with staging(self._case_folder(case)) as staged:
            write_array(staged, voxels, {})
            attributes = {**provenance.to_attributes(), "hash": provenance_digest}
            write_array(staged / _PROVENANCE, provenance.codes, attributes)
        return StagedLabel(staged, digest, provenance_digest)

    def publish(self, case: int, staged: StagedLabel) -> int:
        """Give a staged label a version number, higher than that of every other one on the disk.

        Call it while the records are locked: another program would take the number meanwhile.
        """
        version = max(self._versions(case), default=0) + 1
        os.replace(staged.folder, self._version_folder(case, version))
        sync_folder(self._case_folder(case))
        return version

    def discard(self, staged: StagedLabel) -> None:
        """Remove a staged label; nothing happens where it was published."""
        shutil.rmtree(staged.folder, ignore_errors=True)

    def read(self, case: int, version: int, expected_hash: str) -> np.ndarray | None:
        """Return one version of a label, (z, y, x) uint8, free to change.

        None where it is gone or damaged: its `label_hash` is not the expected one.
        """
        found = _read_array(self._version_folder(case, version))
        # zarr reads a missing chunk as zeros, so only the hash proves that the label is whole
        return found[0] if found is not None and label_hash(found[0]) == expected_hash else None

    def read_provenance(self, case: int, version: int) -> Provenance | None:
        """Return where the voxels of one version of a label come from.

        None where it was saved before provenance was kept, is gone, or is damaged.
        """
        found = _read_array(self._version_folder(case, version) / _PROVENANCE)
        if found is None or label_hash(found[0]) != found[1].get("hash"):
            return None
        return Provenance.from_attributes(*found)

    def prune(self, case: int, keep: Collection[int]) -> None:
        """Remove the versions that the records no longer need, after the commit.

        Versions above the kept ones stay: another program may be about to point to them.
        """
        for version in self._versions(case):
            if version < max(keep) and version not in keep:
                shutil.rmtree(self._version_folder(case, version), ignore_errors=True)
        remove_abandoned(self._case_folder(case))

    def set_aside(self, case: int, name: str) -> None:
        """Move the labels of a removed case to ``labels/removed``, named so that people find them.

        OSError tells that the disk refuses; the labels stay where they are then.
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
