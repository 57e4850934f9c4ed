"""What the signed distance targets of training cost, beside two SciPy distance transforms.

Prints milliseconds for one crop and one class: made from the crop's label, with either boundary, or
read from the map of the whole case, moved only or rotated and bent. Then, what a step of DTC waits
for the targets of its two labelled crops, which a thread makes during the forward pass.

    python tests/measurements/measure_signed_distance.py [--repeats 5] [--no-step]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt

from napari_semiseg.engine.networks.vnet import VNet
from napari_semiseg.engine.parts.signed_distance import (
    SignedDistanceOptions,
    begin_signed_distance_target,
    signed_distance_target,
)
from napari_semiseg.engine.sampling.augmentation import read_at, sampling_grid
from napari_semiseg.engine.sampling.batches import cut

CROPS = ((64, 64, 64), (112, 112, 80))
SPACING, THICK_SLICES = (1.0, 1.0, 1.0), (3.0, 1.0, 1.0)
LABELLED = 2


def main() -> int:
    """Measure, print a table, and fail where a target costs as much as two SciPy transforms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-step", action="store_true", help="leave the forward pass out")
    arguments = parser.parse_args()
    slower = False
    for shape in CROPS:
        mask = ball(shape)
        print("×".join(map(str, shape)))
        published = milliseconds(lambda mask=mask: scipy_map(mask), arguments.repeats)
        print(f"  {'two SciPy transforms':46s} {published:7.1f} ms")
        for name, make in {**crop_domain(mask), **volume_domain(shape)}.items():
            took = milliseconds(make, arguments.repeats)
            slower |= took >= published
            print(f"  {name:46s} {took:7.1f} ms  ({published / took:.1f} times faster)")
        if not arguments.no_step:
            print_wait(mask)
    return int(slower)


def crop_domain(mask: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return the ways to make a target from the label of a crop."""
    labels = torch.from_numpy(mask.astype(np.int64))[None]
    clipped = SignedDistanceOptions("clip", "half_voxel")
    ways = {
        "crop, inner boundary, voxels (the papers)": (SignedDistanceOptions(), SPACING),
        "crop, half-voxel boundary, clipped, mm": (clipped, SPACING),
        "the same with slices of 3 mm": (clipped, THICK_SLICES),
    }
    return {
        name: lambda options=options, spacing=spacing: signed_distance_target(
            labels, 2, spacing, options
        )
        for name, (options, spacing) in ways.items()
    }


def volume_domain(shape: tuple[int, int, int]) -> dict[str, Callable[[], object]]:
    """Return the ways to read a target from the memory-mapped map of a case twice as large."""
    whole = ball(tuple(2 * extent for extent in shape))
    labels = torch.from_numpy(whole.astype(np.int64))[None]
    made = signed_distance_target(labels, 2, SPACING, SignedDistanceOptions())[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "distance.npy"
        np.save(path, made.numpy().astype(np.float16))
        maps = np.load(path, mmap_mode="r")  # stays readable while it is mapped
    centre = np.array(shape, float)
    positions = sampling_grid(shape, centre, SPACING, torch.Generator().manual_seed(0))
    return {
        "volume, crop moved": lambda: cut(maps, None, centre, shape),
        "volume, crop rotated, scaled and bent": lambda: read_at(maps, None, positions, 0),
    }


def print_wait(mask: np.ndarray) -> None:
    """Print how long a step waits for its targets after the forward pass, with and without thread."""
    network = VNet(3, 1, 2, signed_distance_head=True)
    images = torch.randn(2 * LABELLED, 1, *mask.shape)
    labels = torch.from_numpy(mask.astype(np.int64)).repeat(LABELLED, 1, 1, 1)
    options = SignedDistanceOptions()
    started = time.perf_counter()
    pending = begin_signed_distance_target(labels, 2, SPACING, options)
    with torch.no_grad():
        network(images)
    forward = time.perf_counter() - started
    pending.result()
    waited = time.perf_counter() - started - forward
    alone = milliseconds(lambda: signed_distance_target(labels, 2, SPACING, options), 3)
    print(
        f"  forward pass of V-Net on {len(images)} crops {1e3 * forward:.0f} ms; {LABELLED} targets "
        f"alone {alone:.1f} ms; the step waits {1e3 * waited:.2f} ms for them"
    )


def scipy_map(mask: np.ndarray) -> np.ndarray:
    """Return the map as the papers' code makes it."""
    outside, inside = distance_transform_edt(~mask), distance_transform_edt(mask)
    signed = outside / outside.max() - inside / inside.max()
    signed[mask & ~binary_erosion(mask, border_value=1)] = 0
    return signed


def ball(shape: tuple[int, ...]) -> np.ndarray:
    """Return a ball as wide as two thirds of the shortest side."""
    axes = np.meshgrid(*[np.arange(extent) - extent / 2 for extent in shape], indexing="ij")
    return sum(axis**2 for axis in axes) < (min(shape) / 3) ** 2


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of ``work``; the first time warms up."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return 1e3 * statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
