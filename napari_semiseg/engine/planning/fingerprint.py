"""The fingerprint of a study's scans: sizes, spacings, intensities.

Reads at most a few scans in full, those with labels first; everything else comes from the study's
records.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_semiseg.engine.errors import TrainingError
from napari_semiseg.engine.study import Case, Study
from napari_semiseg.engine.volumes import Geometry

SCANS_READ = 12
VOXELS_SAMPLED = 200_000
AIR_IN_HOUNSFIELD_UNITS = -500.0


@dataclass(frozen=True)
class Fingerprint:
    """What planning needs to know of the scans.

    Attributes
    ----------
    shape, spacing : tuple
        Median voxels and median voxel size in mm, (superior, anterior, right) after turning each
        scan to its nearest anatomical axes.
    smallest_shape : tuple of int
        Smallest extent of any scan along each axis.
    channels : int
        Image channels, the same for all scans.
    is_ct : bool
        The DICOM modality says CT, or the values look like Hounsfield units.
    foreground : tuple of ndarray
        One array a channel: intensities sampled inside the labels (inside the scans where there are
        no labels), in the scans' units.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    smallest_shape: tuple[int, int, int]
    channels: int
    is_ct: bool
    foreground: tuple[np.ndarray, ...]


def take_fingerprint(study: Study) -> Fingerprint:
    """Measure the scans of ``study``; held-out scans are not looked at.

    Raises
    ------
    TrainingError
        The study has no scans, or scans with different numbers of channels.
    """
    cases = [*study.labelled_cases(), *study.unlabelled_cases()]
    if not cases:
        raise TrainingError(f"Study “{study.name}” has no scans to train on; add some first.")
    counts = {case.channels for case in cases}
    if len(counts) > 1:
        odd = next(case.name for case in cases if case.channels != cases[0].channels)
        raise TrainingError(
            f"Scan “{odd}” has another number of channels than “{cases[0].name}”; "
            "all scans of a study need the same channels: remove or complete the odd ones."
        )
    grids = [turned(case.geometry) for case in cases]
    shapes, spacings = (np.array(part) for part in zip(*grids, strict=True))
    foreground, is_ct = _intensities(study, cases[:SCANS_READ])
    z, y, x = np.median(shapes, axis=0).astype(int)
    return Fingerprint(
        shape=(int(z), int(y), int(x)),
        spacing=tuple(float(mm) for mm in np.median(spacings, axis=0)),  # type: ignore[arg-type]
        smallest_shape=tuple(int(n) for n in shapes.min(axis=0)),  # type: ignore[arg-type]
        channels=counts.pop(),
        is_ct=is_ct,
        foreground=foreground,
    )


def turned(geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Shape and spacing (mm) in the order superior, anterior, right, whatever the file's order."""
    from nibabel.orientations import io_orientation

    axes = io_orientation(geometry.affine)[:, 0]
    shape, spacing = np.zeros(3, int), np.zeros(3)
    for voxel_axis, world_axis in enumerate(axes.astype(int)):
        shape[2 - world_axis] = geometry.shape[2 - voxel_axis]
        spacing[2 - world_axis] = geometry.spacing[2 - voxel_axis]
    return shape, spacing


def _intensities(study: Study, cases: list[Case]) -> tuple[tuple[np.ndarray, ...], bool]:
    random = np.random.default_rng(0)
    everywhere: list[np.ndarray] = []
    inside_labels: list[np.ndarray] = []
    lowest: list[float] = []
    says_ct = [case.modality == "CT" for case in cases]
    for case in cases:
        voxels = study.scans.read(case.name).voxels
        label = study.labels.load(case.name) if case.has_label else None
        inside = np.flatnonzero(label) if label is not None and label.any() else None
        flat = voxels.reshape(len(voxels), -1)
        lowest.append(float(flat.min()))
        count = min(VOXELS_SAMPLED // len(cases), flat.shape[1])
        if inside is None:
            chosen = random.integers(0, flat.shape[1], count)
            everywhere.append(flat[:, chosen].astype(np.float32))
        else:
            chosen = inside[random.integers(0, len(inside), count)]
            inside_labels.append(flat[:, chosen].astype(np.float32))
    # The air around a patient would widen the window of CT, so labels alone decide where there are.
    joined = np.concatenate(inside_labels or everywhere, axis=1)
    looks_ct = bool(np.median(lowest) < AIR_IN_HOUNSFIELD_UNITS)
    return tuple(joined), any(says_ct) or looks_ct
