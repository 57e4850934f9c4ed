"""What the machine can do: device, free memory, cores, and the precision that is fast on it.

Torch is imported inside the functions, so that reading a plan does not load it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import psutil

from napari_semiseg.engine.errors import SettingsError

DeviceKind = Literal["cpu", "cuda", "mps"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class Machine:
    """The part of a computer that a plan depends on.

    Attributes
    ----------
    device : {"cpu", "cuda", "mps"}
        Where training runs.
    device_name : str
        Name to show, for example ``"NVIDIA RTX A4000"``.
    free_memory : int
        Bytes free on that device now.
    cores : int
        Cores this process may use.
    precision : str
        Fastest safe precision, in Lightning Fabric's words.
    """

    device: DeviceKind
    device_name: str
    free_memory: int
    cores: int
    precision: Precision


def describe_machine(device: str = "auto") -> Machine:
    """Look at the machine as it is now.

    Parameters
    ----------
    device : str
        ``"auto"`` takes CUDA, else Apple's MPS, else the CPU; or one of ``cpu``, ``cuda``, ``mps``.

    Raises
    ------
    SettingsError
        The device asked for is unknown or not there.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = next((name for name, available in there.items() if available), "cpu")
    if device not in ("cpu", "cuda", "mps"):
        raise SettingsError(f"There is no device “{device}”; choose auto, cpu, cuda or mps.")
    if not there.get(device, True):
        raise SettingsError(
            f"This machine has no {device.upper()} device that PyTorch {torch.__version__} can use; "
            "choose --device cpu, or install a PyTorch build for your graphics card."
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().available
    name = f"CPU, {cores} cores"
    if device == "cuda":
        memory = torch.cuda.mem_get_info()[0]
        name = torch.cuda.get_device_name()
    elif device == "mps":
        name = "Apple GPU (MPS)"
    return Machine(device, name, memory, cores or 1, _precision(device))  # type: ignore[arg-type]


def _precision(device: str) -> Precision:
    """Choose bfloat16 where the hardware computes in it, float16 on older CUDA cards."""
    import torch

    if device == "cuda":
        return (
            "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
        )
    if device == "cpu" and _cpu_has_bfloat16():
        return "bf16-mixed"
    return "32-true"


def _cpu_has_bfloat16() -> bool:
    """Tell whether the CPU multiplies bfloat16 in hardware; emulated, it is slower than float32."""
    import torch

    capability = getattr(torch.backends.cpu, "get_cpu_capability", lambda: "")()
    if "AVX512" not in capability and "AMX" not in capability:
        return False
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = file.read()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
