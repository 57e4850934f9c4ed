"""What a trained network sees in a scan as a whole, so that scans that look alike to it can be told.

Features are those of the deepest level of the encoder that answers, averaged over the whole scan.
They are measured case by case and kept in the run's folder until its checkpoint changes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_semiseg.engine.inference.windows import window_starts
from napari_semiseg.engine.methods.assembly import CHECKPOINT
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.study import Case, Run
from napari_semiseg.engine.study.storage import storage_errors

FOLDER = "case_features"
"""Folder inside the run's folder; may be deleted at any time."""

FORMAT = 1
"""Raise when the meaning of the files changes."""


def scan_features(method: Method, image: np.ndarray) -> np.ndarray:
    """Average the deepest features of the answering networks over a scan.

    Parameters
    ----------
    method : Method
        Trained method; where several networks answer together, their features come one after the other.
    image : ndarray, shape (channels, z, y, x)
        Normalised, on the model grid; may be memory-mapped.

    Returns
    -------
    ndarray of float32, shape (F,)
    """
    patch = method.plan.patch
    short = [max(0, want - have) for want, have in zip(patch, image.shape[1:], strict=True)]
    if any(short):
        margins = [(missing // 2, missing - missing // 2) for missing in short]
        image = np.pad(image, [(0, 0), *margins], mode="edge")
    starts = (
        window_starts(extent, size, overlap=0.0)
        for extent, size in zip(image.shape[1:], patch, strict=True)
    )
    places = list(itertools.product(*starts))
    sums: Tensor | None = None
    with _overhearing(method) as heard:
        for first in range(0, len(places), method.plan.window_batch):
            heard.clear()
            batch = places[first : first + method.plan.window_batch]
            method.predict(_windows(method, image, batch), uncertainty=False)
            here = torch.cat([_mean_over_space(features) for features in heard], dim=1).sum(dim=0)
            sums = here if sums is None else sums + here
    assert sums is not None
    return (sums / len(places)).cpu().numpy()


def _windows(method: Method, image: np.ndarray, places: list[tuple[int, ...]]) -> Tensor:
    crops = [
        image[
            (
                slice(None),
                *(
                    slice(start, start + size)
                    for start, size in zip(place, method.plan.patch, strict=True)
                ),
            )
        ]
        for place in places
    ]
    windows = torch.from_numpy(np.stack(crops).astype(np.float32))
    return windows.reshape(len(places), -1, *method.plan.spatial).to(method.fabric.device)


def _mean_over_space(features: Tensor) -> Tensor:
    return features.float().flatten(start_dim=2).mean(dim=2)


@contextmanager
def _overhearing(method: Method) -> Iterator[list[Tensor]]:
    """Collect the deepest features of every forward pass of a segmentation network of the method."""
    heard: list[Tensor] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, NetworkOutput):
            heard.append(output.bottleneck.detach())

    hooks = [network.register_forward_hook(note) for network in method.networks().values()]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def stored_path(run: Run, case: Case) -> Path:
    """Return where what was measured of a case is kept; another checkpoint has other files."""
    checkpoint = (run.folder / CHECKPOINT).stat()
    parts = [FORMAT, checkpoint.st_mtime_ns, checkpoint.st_size, case.content_hash]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return run.folder / FOLDER / f"{case.identifier}-{digest}.npz"


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Read what `write_arrays` wrote; None where there is nothing."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Keep arrays in one file, in place of what was measured with an earlier checkpoint.

    Raises
    ------
    StudyError
        The disk refuses.
    """
    with storage_errors(path.parent):
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f"writing-{os.getpid()}-{path.name}")
        try:
            with open(temporary, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        for former in path.parent.glob(f"{path.name.split('-')[0]}-*.npz"):
            if former != path:
                former.unlink(missing_ok=True)
