"""Peak memory and time of predicting a large scan, and whether the answer is that of plain memory.

Makes a synthetic CT of 512×512×600 voxels with four organs, trains a small network for a few steps on
small scans of the same kind, and predicts all maps in a process of its own that prints seconds and
peak resident memory stage by stage. Another process answers in the plainest way, whole arrays in
memory and every window looked at; the two predictions are compared. Fails where memory exceeds three
times the int16 scan + 1.5 GB, or where 0.01 % of the voxels differ or one differs by more than one
layer.

    python tests/measurements/measure_large_scan.py [--spacing 2] [--no-compare] [--no-files]
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import torch
import torch.nn.functional as F

from napari_semiseg.engine.inference.canvas import gaussian_weights
from napari_semiseg.engine.inference.distance_maps import EXACT_MM
from napari_semiseg.engine.inference.files import write_maps
from napari_semiseg.engine.inference.prediction import predict_case
from napari_semiseg.engine.inference.stored_maps import store_maps
from napari_semiseg.engine.inference.windows import window_starts
from napari_semiseg.engine.methods.assembly import restore
from napari_semiseg.engine.parts.signed_distance import exact_distance
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.sampling.intensity import normalise
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.study import Study, parse_classes
from napari_semiseg.engine.training.loop import train
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.engine.volumes import read_volume

VOXEL_MM = (1.0, 0.8, 0.8)
ORGANS = ((150, 0.3, 0.35), (350, 0.6, 0.4), (-120, 0.45, 0.65), (600, 0.75, 0.6))
"""Hounsfield units, and where the middle lies along z and x as shares of the scan."""
STEPS = 60
ALLOWED_DIFFERENT = 1e-4


def main() -> int:
    """Run the stages in processes of their own and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(600, 512, 512), metavar="Z Y X")
    parser.add_argument("--spacing", type=float, default=2.0, help="voxels of the network in mm")
    parser.add_argument("--no-compare", action="store_true")
    parser.add_argument(
        "--no-files", action="store_true", help="write no .nii.gz, which takes long"
    )
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=("train", "predict", "reference"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        part = {"train": make_and_train, "predict": predict_large, "reference": answer_plainly}
        part[arguments.part](arguments)
        return 0
    with tempfile.TemporaryDirectory(prefix="large-scan-") as folder:
        parts = ["train", "predict"] + ([] if arguments.no_compare else ["reference"])
        for part in parts:
            own = [sys.executable, __file__, "--part", part, "--folder", folder]
            size = ["--spacing", str(arguments.spacing), "--shape", *map(str, arguments.shape)]
            files = ["--no-files"] if arguments.no_files else []
            subprocess.run([*own, *size, *files], check=True)
        return judge(Path(folder), tuple(arguments.shape), compare=not arguments.no_compare)


def judge(folder: Path, shape: tuple[int, ...], compare: bool) -> int:
    """Print how memory and answers compare with what is allowed."""
    peak = json.loads((folder / "peak.json").read_text())
    scan = 2 * float(np.prod(shape)) / 1e9
    allowed = 3 * scan + 1.5
    print(f"peak {peak:.2f} GB; int16 scan {scan:.3f} GB, allowed {allowed:.2f} GB")
    if not compare:
        return int(peak > allowed)
    found, expected = np.load(folder / "found.npy"), np.load(folder / "expected.npy")
    places = np.argwhere(found != expected)
    share = len(places) / found.size
    beyond = sum(
        found[tuple(place)] not in expected[tuple(slice(max(0, n - 1), n + 2) for n in place)]
        for place in places
    )
    print(f"prediction: {len(places)} voxels differ ({share:.5%}), {beyond} by more than one layer")
    for kind in ("uncertainty", "similarity", "near_distance", "far_distance"):
        print(f"{kind}: largest difference {json.loads((folder / f'{kind}.json').read_text()):.2g}")
    return int(peak > allowed or share >= ALLOWED_DIFFERENT or beyond > 0)


def make_and_train(arguments: argparse.Namespace) -> None:
    """Write the scans into a study and train on the small ones."""
    folder: Path = arguments.folder
    (folder / "images").mkdir()
    small = tuple(max(48, extent // 5) for extent in arguments.shape)
    voxel = [n * have / got for n, have, got in zip(VOXEL_MM, arguments.shape, small, strict=True)]
    write_scan(folder / "images" / "large.nii", arguments.shape, VOXEL_MM, 0)
    for seed in (1, 2):
        label = write_scan(folder / "images" / f"small_{seed}.nii", small, voxel, seed)
        nibabel.save(nibabel.Nifti1Image(label.T, affine(voxel)), folder / f"label_{seed}.nii")
    names = ",".join(f"{value}=organ {value}" for value in range(1, len(ORGANS) + 1))
    with Study.create(folder / "large.semiseg", parse_classes(names)) as study:
        for _ in study.scans.add_all([folder / "images"]):
            pass
        for seed in (1, 2):
            study.labels.import_file(
                f"small_{seed}", folder / f"label_{seed}.nii", author="measurement"
            )
        settings = TrainingSettings(
            method="supervised",
            steps=STEPS,
            plan_overrides={"spacing": (arguments.spacing,) * 3},
        )
        for _ in train(study, settings):
            pass


def affine(voxel_mm: tuple[float, ...] | list[float]) -> np.ndarray:
    """Return the affine of a scan with axes z, y, x of these sizes."""
    return np.diag([*voxel_mm[::-1], 1.0])


def write_scan(path: Path, shape: tuple[int, ...], voxel_mm: object, seed: int) -> np.ndarray:
    """Write a CT of a body in air with four organs, slice by slice; return the label (z, y, x)."""
    random = np.random.default_rng(seed)
    z, y, x = (np.linspace(0, 1, extent, dtype=np.float32) for extent in shape)
    label = np.zeros(shape, np.uint8)
    image = nibabel.Nifti1Image(np.broadcast_to(np.int16(0), shape[::-1]), affine(voxel_mm))
    shifts = random.uniform(-0.03, 0.03, (len(ORGANS), 2)) if seed else np.zeros((len(ORGANS), 2))
    with open(path, "wb") as file:
        image.header.write_to(file)
        file.write(bytes(image.header.get_data_offset() - file.tell()))
        for index, height in enumerate(z):
            plane = np.full(shape[1:], -1000.0, np.float32)
            plane[((y[:, None] - 0.5) / 0.36) ** 2 + ((x - 0.5) / 0.42) ** 2 < 1] = 30.0
            for value, (hounsfield, along, across) in enumerate(ORGANS, start=1):
                z0, x0 = shifts[value - 1] + (along, across)
                inside = (y[:, None] - 0.5) ** 2 + (x - x0) ** 2 + (height - z0) ** 2 < 0.14**2
                plane[inside], label[index][inside] = hounsfield, value
            plane += random.normal(0, 25, plane.shape)
            file.write(plane.astype(np.int16).tobytes())
    return label


def predict_large(arguments: argparse.Namespace) -> None:
    """Predict the large scan as the product does; print seconds and peak memory of each stage."""
    folder, began = arguments.folder, time.perf_counter()
    with Study.open(folder / "large.semiseg") as study:
        run = study.runs.get()
        method, _ = restore(run.folder, describe_machine("cpu"))
        began = report("load the network", began)
        volume = study.scans.read("large")
        began = report("read", began)
        work = predict_case(method, "large", volume)
        next(work)
        began = report("normalise, resample, first windows", began)
        while True:
            try:
                share = next(work)
            except StopIteration as finished:
                maps = finished.value
                break
            if share == 1.0:
                began = report("windows, and back to the scan's grid", began)
        began = report("signed distances", began)
        store_maps(study, run.identifier, maps)
        began = report("store in the study", began)
        if not arguments.no_files:
            names = {info.value: info.name for info in study.classes}
            write_maps(folder / "out", maps, names)
            report("write as .nii.gz", began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    (folder / "peak.json").write_text(json.dumps(peak))
    np.save(folder / "found.npy", maps.prediction)


def report(stage: str, began: float) -> float:
    """Print a line about a stage; return the time at which the next one begins."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"  {stage:38s} {time.perf_counter() - began:7.1f} s   peak {peak:5.2f} GB", flush=True)
    return time.perf_counter()


def answer_plainly(arguments: argparse.Namespace) -> None:
    """Answer with whole arrays in memory, and measure how the stored maps differ."""
    folder: Path = arguments.folder
    with Study.open(folder / "large.semiseg") as study:
        run = study.runs.get()
        method, _ = restore(run.folder, describe_machine("cpu"))
        volume = read_volume(folder / "images" / "large.nii")
        grid = ModelGrid.of(volume.geometry, method.plan.spacing)
        normal = normalise(volume.voxels, method.plan.normalisation)
        image = grid.resample_image(normal, numbers=2**62)
        del normal
        maps = {kind: to_scan(grid, array) for kind, array in blend_plainly(method, image).items()}
        values = np.array([0, *method.plan.class_values], np.uint8)
        predicted = values[maps.pop("probabilities").argmax(0)]
        np.save(folder / "expected.npy", predicted)
        for kind, array in maps.items():
            stored = study.runs.maps.load(run, "large", kind).array
            apart = max(
                float(np.abs(array[..., row, :, :].squeeze() - stored[..., row, :, :]).max())
                for row in range(0, array.shape[1], 7)
            )
            (folder / f"{kind}.json").write_text(json.dumps(apart))
        del maps
        compare_distances(folder, study.runs.maps.load(run, "large", "signed_distance").array)


def blend_plainly(method: object, image: np.ndarray) -> dict[str, np.ndarray]:
    """Blend every window in arrays of the whole model grid."""
    patch = method.plan.patch
    weights = gaussian_weights(patch)
    starts = [window_starts(n, size) for n, size in zip(image.shape[1:], patch, strict=True)]
    sums, total = {}, np.zeros(image.shape[1:], np.float32)
    directions = F.normalize(method.prototypes, dim=1)
    for place in itertools.product(*starts):
        box = tuple(slice(start, start + size) for start, size in zip(place, patch, strict=True))
        said = method.predict(torch.from_numpy(image[(slice(None), *box)].copy())[None])
        features = F.normalize(said.features.float(), dim=1)
        answers = {
            "probabilities": said.probabilities[0],
            "uncertainty": said.uncertainty,
            "similarity": torch.einsum("fzyx,cf->czyx", features[0], directions),
        }
        for kind, answer in answers.items():
            sums.setdefault(kind, np.zeros((len(answer), *total.shape), np.float32))
            sums[kind][(slice(None), *box)] += answer.float().numpy() * weights
        total[box] += weights
    return {kind: array / total for kind, array in sums.items()}


def to_scan(grid: ModelGrid, array: np.ndarray) -> np.ndarray:
    """Interpolate (channels, z, y, x) to the scan, one whole channel at a time."""
    size = grid.turned_shape
    return np.stack(
        [
            F.interpolate(torch.from_numpy(channel)[None, None], size, mode="trilinear")[0, 0]
            for channel in array
        ]
    )


def compare_distances(folder: Path, stored: object) -> None:
    """Compare stored distances with exact ones of the whole stored prediction."""
    predicted = np.load(folder / "found.npy")
    near = far = 0.0
    for index in range(stored.shape[0]):
        exact = exact_distance(predicted == index + 1, VOXEL_MM)
        apart = np.abs(exact - stored[index])
        is_near = np.abs(exact) <= EXACT_MM
        near = max(near, float(apart[is_near].max(initial=0)))
        far = max(far, float(apart[~is_near & np.isfinite(exact)].max(initial=0)))
    (folder / "near_distance.json").write_text(json.dumps(near))
    (folder / "far_distance.json").write_text(json.dumps(far))


if __name__ == "__main__":
    sys.exit(main())
