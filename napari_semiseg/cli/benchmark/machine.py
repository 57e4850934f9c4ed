"""The machine that the figures are from, and how fast it convolves at its very best."""

from __future__ import annotations

import itertools
import platform
from pathlib import Path

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from napari_semiseg.cli.benchmark.section import Row, Section
from napari_semiseg.cli.benchmark.timing import seconds_in_turn
from napari_semiseg.cli.benchmark.twins import LATE, build, crops_for, papers_plan
from napari_semiseg.cli.benchmark.workload import Workload, in_words
from napari_semiseg.engine.methods.assembly import FAST_PRECISION
from napari_semiseg.engine.planning.machine import Machine, describe_machine

CHANNELS = (32, 64, 128)
"""Widths of the convolutions among which the fastest is the ceiling."""

CROPS = 4


def processor_name() -> str:
    """Return the model of the CPU."""
    listing = Path("/proc/cpuinfo")  # Linux only; elsewhere the standard library knows enough
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def short_description(device: str) -> str:
    """Say on what a measurement was made, in a few words."""
    machine = describe_machine(device)
    where = processor_name() if machine.device == "cpu" else machine.device_name
    threads = torch.get_num_threads()
    plural = "" if threads == 1 else "s"
    return f"{where}, {threads} thread{plural}, PyTorch {torch.__version__.partition('+')[0]}"


def measure_machine(workload: Workload) -> Section:
    """Describe the machine, its convolution ceiling, and the share of it that a step reaches."""
    machine = describe_machine(workload.device)
    gigabytes = psutil.virtual_memory().total / 2**30
    facts: dict[str, str] = {
        "CPU": processor_name(),
        "cores of this process": str(machine.cores),
        "threads of PyTorch": str(torch.get_num_threads()),
        "memory": f"{gigabytes:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "PyTorch": torch.__version__,
        "device": f"{machine.device_name} ({machine.device}), trains in {machine.precision}",
    }
    extent = max(workload.patches[0])
    full = convolution_ceiling(machine, torch.float32, extent, workload.repeats)
    facts["convolution ceiling, float32"] = _gigaflops(full)
    ceiling, fast = full, FAST_PRECISION.get(machine.precision)
    if fast is not None:
        ceiling = convolution_ceiling(machine, fast, extent, workload.repeats)
        facts[f"convolution ceiling, {str(fast).removeprefix('torch.')}"] = _gigaflops(ceiling)
    for patch in workload.patches:
        flops, seconds = _supervised_step(workload, machine, patch)
        facts[f"a supervised step, 4 crops of {in_words(patch)}"] = (
            f"{flops / 1e9:.0f} GFLOP in {seconds:.3f} s, "
            f"{flops / seconds / ceiling:.0%} of the ceiling"
        )
    remarks = (
        f"The ceiling is the fastest forward 3×3×3 convolution of {', '.join(map(str, CHANNELS))} "
        "channels with channels last, inputs and weights already in that precision.",
    )
    rows: tuple[Row, ...] = tuple({"what": what, "found": fact} for what, fact in facts.items())
    return Section("The machine", rows, remarks)


def convolution_ceiling(
    machine: Machine, precision: torch.dtype, extent: int, repeats: int
) -> float:
    """Return the most floating-point operations a second that 3×3×3 convolutions reach.

    Parameters
    ----------
    extent : int
        Voxels along each axis for the narrowest convolution; wider ones have half as many.
    repeats : int
        Timed runs of each.
    """
    layout = torch.channels_last_3d
    best = 0.0
    for channels, halvings in zip(CHANNELS, itertools.count(), strict=False):
        size = max(2, extent >> halvings)
        convolution = torch.nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        convolution = convolution.to(machine.device, precision).to(memory_format=layout)  # type: ignore[call-overload]
        image = torch.randn(CROPS, channels, size, size, size, device=machine.device)
        image = image.to(precision).to(memory_format=layout)
        with torch.inference_mode():
            works = {"forward": lambda net=convolution, image=image: net(image)}
            seconds = seconds_in_turn(works, repeats, machine.device)["forward"]
        best = max(best, 2 * 27 * channels**2 * image[:, 0].numel() / seconds)
    return best


def _supervised_step(
    workload: Workload, machine: Machine, patch: tuple[int, int, int]
) -> tuple[float, float]:
    """Return floating-point operations and seconds of a supervised step."""
    method = build("supervised", papers_plan(patch, workload.filters), machine)
    batch = crops_for(method, 0)
    with FlopCounterMode(display=False) as counter:
        method.training_step(batch, LATE)
    works = {"step": lambda: method.training_step(batch, LATE)}
    seconds = seconds_in_turn(works, workload.repeats, machine.device)["step"]
    return float(counter.get_total_flops()), seconds


def _gigaflops(flops: float) -> str:
    return f"{flops / 1e9:,.0f} GFLOP/s"
