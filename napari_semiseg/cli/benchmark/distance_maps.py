"""Section (c): the signed distance map of a crop, beside the published way to make it.

The published codes make it of every labelled crop in every step: two distance transforms of SciPy and
the boundary. The project makes it from the label of the crop, or reads it from the map of the whole
case; while a network passes forward, a thread makes it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt

from napari_semiseg.cli.benchmark.generated import ball
from napari_semiseg.cli.benchmark.section import Row, Section, competition
from napari_semiseg.cli.benchmark.timing import Work, seconds_in_turn, seconds_of
from napari_semiseg.cli.benchmark.twins import build, crops_for, papers_plan
from napari_semiseg.cli.benchmark.workload import Shape, Workload, in_words
from napari_semiseg.engine.methods.registry import method_of
from napari_semiseg.engine.parts.signed_distance import (
    SignedDistanceOptions,
    begin_signed_distance_target,
    signed_distance_target,
)
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.sampling.augmentation import read_at, sampling_grid
from napari_semiseg.engine.sampling.batches import cut

SPACING, THICK_SLICES = (1.0, 1.0, 1.0), (3.0, 1.0, 1.0)
LABELLED = 2


def measure_distance_maps(workload: Workload) -> Section:
    """Time the map of one crop and one class, made in every way, for each size of crop."""
    rows: list[Row] = []
    remarks = [f"One crop, one class, a ball; medians of {workload.repeats} runs of each, in turn."]
    for patch in workload.patches:
        mask = ball(patch)
        works: dict[str, Work] = {
            "two SciPy transforms and the boundary (published)": partial(scipy_map, mask),
            "two SimpleITK transforms": partial(itk_map, mask),
        }
        works |= _from_the_crop(mask) | _from_the_case(patch)
        taken = seconds_in_turn(works, workload.repeats)
        rows += [
            {"crop": in_words(patch), **row} for row in competition(taken, unit=1e-3, column="ms")
        ]
        remarks.append(_wait(patch, workload))
    return Section("Signed distance map of a crop", tuple(rows), tuple(remarks))


def scipy_map(mask: np.ndarray) -> np.ndarray:
    """Return the map (z, y, x) of ``mask`` in −1…1 as the papers' code makes it."""
    outside, inside = distance_transform_edt(~mask), distance_transform_edt(mask)
    signed: np.ndarray = outside / outside.max() - inside / inside.max()
    signed[mask & ~binary_erosion(mask, border_value=1)] = 0
    return signed


def itk_map(mask: np.ndarray) -> np.ndarray:
    """Return the same map with two exact transforms of SimpleITK, one of each side."""
    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    sides = [
        SimpleITK.GetArrayFromImage(
            SimpleITK.SignedMaurerDistanceMap(side, insideIsPositive=False, squaredDistance=False)
        )
        for side in (image, SimpleITK.Not(image))
    ]
    outside, inside = (np.maximum(side, 0) for side in sides)
    signed: np.ndarray = outside / outside.max() - inside / inside.max()
    signed[mask & (inside <= 1)] = 0
    return signed


def _from_the_crop(mask: np.ndarray) -> dict[str, Work]:
    labels = torch.from_numpy(mask.astype(np.int64))[None]
    clipped = SignedDistanceOptions("clip", "half_voxel")
    ways = {
        "ours: inner boundary, voxels (as published)": (SignedDistanceOptions(), SPACING),
        "ours: half-voxel boundary, clipped, mm": (clipped, SPACING),
        "ours: the same with slices of 3 mm": (clipped, THICK_SLICES),
    }

    def way(options: SignedDistanceOptions, spacing: tuple[float, float, float]) -> Work:
        return lambda: signed_distance_target(labels, 2, spacing, options)

    return {name: way(*given) for name, given in ways.items()}


def _from_the_case(patch: Shape) -> dict[str, Work]:
    """Return the ways to read a target from the memory-mapped map of a case twice as large."""
    whole = ball((2 * patch[0], 2 * patch[1], 2 * patch[2]))
    labels = torch.from_numpy(whole.astype(np.int64))[None]
    made = signed_distance_target(labels, 2, SPACING, SignedDistanceOptions())[0]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "distance.npy"
        np.save(path, made.numpy().astype(np.float16))
        maps = np.load(path, mmap_mode="r")  # stays readable while it is mapped
    centre = np.array(patch, float)
    positions = sampling_grid(patch, centre, SPACING, torch.Generator().manual_seed(0))
    return {
        "ours: read from the case's map, moved": lambda: cut(maps, None, centre, patch),
        "ours: read from the case's map, rotated, scaled and bent": lambda: read_at(
            maps, None, positions, 0
        ),
    }


def _wait(patch: Shape, workload: Workload) -> str:
    """Say how long a forward pass of DTC's network waits for the targets of its labelled crops."""
    machine = describe_machine(workload.device)
    method = build("dtc", papers_plan(patch, workload.filters), machine)
    batch = crops_for(method, 0)
    options = method_of("dtc").Settings().distance_options  # type: ignore[attr-defined]
    (network,) = method.networks().values()

    def forward() -> None:
        with torch.no_grad():
            network(batch.images)

    def forward_and_targets() -> None:
        pending = begin_signed_distance_target(batch.labels, 2, SPACING, options)
        forward()
        pending.result()

    def alone() -> None:
        signed_distance_target(batch.labels, 2, SPACING, options)

    works: dict[str, Callable[[], object]] = {
        "forward": forward, "both": forward_and_targets, "alone": alone,
    }  # fmt: skip
    seconds_of(forward, machine.device)
    taken = seconds_in_turn(works, workload.repeats, machine.device)
    return (
        f"Crops of {in_words(patch)}: a forward pass of {len(batch.images)} takes "
        f"{1e3 * taken['forward']:.0f} ms, the targets of {LABELLED} alone "
        f"{1e3 * taken['alone']:.1f} ms, both together {1e3 * taken['both']:.0f} ms."
    )
