"""Section (b): reading one training crop from disk, beside the published way and others.

The published codes keep each scan as gzip-compressed float32 HDF5 and read the whole of it for every
crop; others read the scan's own file. The project memory-maps what it prepared once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import zarr

from napari_semiseg.cli.benchmark.generated import SPACING_MM, ball, scan_like, write_scan
from napari_semiseg.cli.benchmark.section import Row, Section, competition
from napari_semiseg.cli.benchmark.timing import Work, seconds_in_turn
from napari_semiseg.cli.benchmark.twins import papers_plan
from napari_semiseg.cli.benchmark.workload import Shape, Workload, in_words
from napari_semiseg.engine.planning.presets import MODERN
from napari_semiseg.engine.sampling.batches import BatchSampler, cut
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.sampling.patch_cache import CachedCase
from napari_semiseg.engine.volumes import Geometry, read_volume

CHUNK = 64


def measure_loading(workload: Workload) -> Section:
    """Time one crop of a generated scan, read in every way, for each size of crop."""
    rows: list[Row] = []
    remarks = [
        f"A scan of {in_words(workload.scan)} voxels and its label, in the file cache of the system; "
        f"medians of {workload.repeats} reads of each, in turn.",
        "The first row is the one that the others are compared with.",
    ]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        image, label = scan_like(workload.scan), ball(workload.scan).astype(np.uint8)
        published = _published(folder, image, label)
        if published is None:
            remarks.append(
                "The published format was left out: it needs h5py "
                "(pip install 'napari-semiseg[benchmark]')."
            )
        for patch in workload.patches:
            box = tuple(
                slice((extent - size) // 2, (extent - size) // 2 + size)
                for extent, size in zip(workload.scan, patch, strict=True)
            )
            works: dict[str, Work] = {}
            if published is not None:
                works["gzip float32 HDF5, whole scan (published)"] = _cropping(published, box)
            works |= _other_files(folder, workload.scan, image, label, box)
            works |= _ours(folder, image, label, patch)
            taken = seconds_in_turn(works, workload.repeats)
            rows += [
                {"crop": in_words(patch), **row}
                for row in competition(taken, unit=1e-3, column="ms")
            ]
    return Section("Loading a crop", tuple(rows), tuple(remarks))


Pair = tuple[np.ndarray, np.ndarray]


def _cropping(read: Callable[[], Pair], box: tuple[slice, ...]) -> Work:
    return lambda: [np.ascontiguousarray(part[box]) for part in read()]


def _published(folder: Path, image: np.ndarray, label: np.ndarray) -> Callable[[], Pair] | None:
    """Write the scan as the published codes have it and return how they read it."""
    try:
        import h5py
    except ImportError:
        return None
    path = folder / "published.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("image", data=image.astype(np.float32), compression="gzip")
        file.create_dataset("label", data=label, compression="gzip")

    def read() -> Pair:
        with h5py.File(path, "r") as file:
            return file["image"][:], file["label"][:]

    return read


def _other_files(
    folder: Path, shape: Shape, image: np.ndarray, label: np.ndarray, box: tuple[slice, ...]
) -> dict[str, Work]:
    scan = write_scan(folder / "scan.nii.gz", shape)

    def read_nifti() -> Pair:
        return read_volume(scan).voxels[0], label

    arrays = []
    for name, array in (("image", image), ("label", label)):
        chunks = tuple(min(CHUNK, extent) for extent in shape)
        stored = zarr.create_array(
            folder / f"{name}.zarr", shape=shape, dtype=array.dtype, chunks=chunks, overwrite=True
        )
        stored[:] = array
        arrays.append(stored)
    return {
        "compressed NIfTI, whole scan (label in memory)": _cropping(read_nifti, box),
        f"compressed zarr, chunks of {CHUNK}": lambda: [np.asarray(a[box]) for a in arrays],
    }


def _ours(folder: Path, image: np.ndarray, label: np.ndarray, patch: Shape) -> dict[str, Work]:
    """Return the ways of the sampler, on files like those of the study's cache."""
    np.save(folder / "image.npy", image[None].astype(np.float16))
    np.save(folder / "label.npy", label)
    geometry = Geometry(image.shape, np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0]))
    case = CachedCase(
        name="scan",
        image=np.load(folder / "image.npy", mmap_mode="r"),
        label=np.load(folder / "label.npy", mmap_mode="r"),
        foreground=(),
        grid=ModelGrid.of(geometry, geometry.spacing),
    )
    centre = np.array(image.shape) / 2
    plan = papers_plan(patch, filters=4)
    bent = plan.model_copy(update={"recipe": MODERN})
    samplers = [BatchSampler([case], [], each, 0, torch.device("cpu")) for each in (plan, bent)]
    return {
        "ours: memory-mapped, cut out": lambda: cut(case.image, case.label, centre, patch),
        "ours: the same, turned and flipped (paper preset)": lambda: samplers[0].draw(1, 0),
        "ours: the same, bent and changed in intensity (modern preset)": lambda: samplers[1].draw(
            1, 0
        ),
    }
