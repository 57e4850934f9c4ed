"""Section (d): a whole scan from its file to written maps, beside MONAI and the published stride.

Reading and writing are the same for all; what lies between differs. The weights are fresh: time does
not depend on them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer

from napari_semiseg.cli.benchmark.generated import write_scan
from napari_semiseg.cli.benchmark.section import Row, Section
from napari_semiseg.cli.benchmark.timing import Work, seconds_in_turn, seconds_of
from napari_semiseg.cli.benchmark.twins import build, build_plain
from napari_semiseg.cli.benchmark.workload import Shape, Workload, in_words
from napari_semiseg.engine.drained import drained
from napari_semiseg.engine.inference.files import write_maps
from napari_semiseg.engine.inference.maps import MAP_KINDS
from napari_semiseg.engine.inference.prediction import predict_case
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.networks.folding import fold_batch_normalisation
from napari_semiseg.engine.planning.fingerprint import Fingerprint
from napari_semiseg.engine.planning.machine import Machine, describe_machine
from napari_semiseg.engine.planning.plan import Plan, Preset
from napari_semiseg.engine.planning.planner import make_plan
from napari_semiseg.engine.volumes import Volume, read_volume, write_label

STRIDE: Shape = (4, 18, 18)
"""Of the published test scripts, (z, y, x)."""

WINDOWS_TIMED = 4
METHOD = "supervised"


def measure_whole_scan(workload: Workload) -> Section:
    """Time a whole scan, end to end, in every way.

    Raises
    ------
    BadScan
        The scan that was named cannot be read.
    """
    machine = describe_machine(workload.device)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        path = workload.scan_file or write_scan(folder / "scan.nii.gz", workload.scan)
        volume = read_volume(path)
        papers = plan_of(volume, machine, "paper", workload.filters)
        modern = plan_of(volume, machine, "modern")
        works: dict[str, Work] = {
            "MONAI sliding window, overlap 0.5, float32: prediction": monai_job(
                path, folder / "monai", build_plain(METHOD, papers, machine)
            ),
        }
        for title, plan in (("V-Net", papers), ("modern preset", modern)):
            method = _as_finished(build(METHOD, plan, machine))
            for kinds, what in (((), "prediction"), (MAP_KINDS, "all maps")):
                works[f"ours, {title}: {what}"] = our_job(path, folder / title, method, kinds)
        taken = seconds_in_turn(works, max(1, workload.repeats // 2), machine.device)
        plain = build_plain(METHOD, papers, machine)
        dense, windows = seconds_of_dense_windows(plain, volume.geometry.shape, machine)
    published = f"V-Net, stride {in_words(STRIDE)}, float32 ({windows} windows, extrapolated)"
    seconds = {published: dense} | taken
    rows: list[Row] = [
        {"what": what, "s": value, "times faster": dense / value} for what, value in seconds.items()
    ]
    return Section(
        "A whole scan, from file to files", tuple(rows), _remarks(workload, volume, papers)
    )


def _remarks(workload: Workload, volume: Volume, papers: Plan) -> tuple[str, ...]:
    source = "The scan that was named" if workload.scan_file else "A generated scan"
    return (
        f"{source}, {in_words(volume.geometry.shape)} voxels; V-Net with {papers.network.filters} "
        f"filters, windows of {in_words(papers.patch)}, two classes; medians of "
        f"{max(1, workload.repeats // 2)} runs of each, in turn.",
        f"Stride {in_words(STRIDE)} was timed on {WINDOWS_TIMED} windows and multiplied: the passes of "
        "the network alone, without reading, blending and writing.",
        "All maps are the prediction, the uncertainty (which takes further passes), the signed "
        "distance and the similarity to prototypes, each written as a compressed file on the scan's "
        "own grid.",
    )


def plan_of(volume: Volume, machine: Machine, preset: Preset, filters: int | None = None) -> Plan:
    """Plan for scans like ``volume`` with one structure, as a study of them would."""
    shape, spacing = volume.geometry.shape, volume.geometry.spacing
    fingerprint = Fingerprint(
        shape=shape,
        spacing=spacing,
        smallest_shape=shape,
        channels=len(volume.voxels),
        is_ct=False,
        foreground=tuple(channel.ravel()[:1] for channel in volume.voxels),
    )
    overrides = {} if filters is None else {"network.filters": filters}
    return make_plan(fingerprint, machine, (1,), preset, overrides)


def our_job(path: Path, folder: Path, method: Method, kinds: Collection[str]) -> Work:
    """Return the work from the file ``path`` to the maps ``kinds`` in ``folder``."""

    def work() -> None:
        maps = drained(predict_case(method, "scan", read_volume(path), kinds))
        write_maps(folder, maps, {1: "structure"})

    return work


def monai_job(path: Path, folder: Path, method: Method) -> Work:
    """Return the work from the file ``path`` to a prediction in ``folder`` with MONAI's windows."""
    (network, *_), patch = method.networks().values(), method.plan.patch
    inferer = SlidingWindowInferer(patch, sw_batch_size=4, overlap=0.5, mode="gaussian")
    device = method.fabric.device
    folder.mkdir(exist_ok=True)

    def work() -> None:
        volume = read_volume(path)
        image = torch.from_numpy(volume.voxels.astype(np.float32))[None].to(device)
        image = (image - image.mean()) / image.std()
        network.eval()
        with torch.inference_mode():
            logits = inferer(image, lambda windows: network(windows).logits)
        assert isinstance(logits, torch.Tensor)  # MONAI passes tuples and dicts on as well
        prediction = logits.argmax(1)[0].to(torch.uint8).cpu().numpy()
        write_label(folder / "prediction.nii.gz", prediction, volume.geometry, {1: "structure"})

    return work


def seconds_of_dense_windows(method: Method, shape: Shape, machine: Machine) -> tuple[float, int]:
    """Return the seconds that all windows at the published stride would take, and how many they are."""
    (network, *_), patch = method.networks().values(), method.plan.patch
    counts = [
        -(-max(0, extent - size) // step) + 1
        for extent, size, step in zip(shape, patch, STRIDE, strict=True)
    ]
    windows = int(np.prod(counts))
    window = torch.randn(1, method.plan.channels, *patch, device=method.fabric.device)
    network.eval()

    def some() -> None:
        with torch.inference_mode():
            for _ in range(WINDOWS_TIMED):
                torch.softmax(network(window).logits, dim=1).cpu()

    seconds_of(some, machine.device)
    return seconds_of(some, machine.device) / WINDOWS_TIMED * windows, windows


def _as_finished(method: Method) -> Method:
    """Treat a method that was never trained as that of a finished run, which is asked only."""
    window = torch.zeros(1, method.plan.channels, *method.plan.spatial, device=method.fabric.device)
    features = method.predict(window, uncertainty=False).features.shape[1]
    method.prototypes = torch.randn(method.plan.classes, features, device=method.fabric.device)
    for network in method.networks().values():
        fold_batch_normalisation(network)
    return method


def our_whole_scan(workload: Workload, path: Path, folder: Path) -> Work:
    """Return the work of the project on one scan with the papers' network: all maps."""
    machine = describe_machine(workload.device)
    plan = plan_of(read_volume(path), machine, "paper", workload.filters)
    return our_job(path, folder, _as_finished(build(METHOD, plan, machine)), MAP_KINDS)


def monai_whole_scan(workload: Workload, path: Path, folder: Path) -> Work:
    """Return the work of MONAI's sliding window on one scan with the same network in float32."""
    machine = replace(describe_machine(workload.device), precision="32-true")
    plan = plan_of(read_volume(path), machine, "paper", workload.filters)
    return monai_job(path, folder, build_plain(METHOD, plan, machine))
