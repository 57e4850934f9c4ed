"""The processes that train one run together: one a device, on one machine or on several.

Lightning Fabric starts them, by running the same command again with another rank, and connects them.
Each prepares the same method, draws its own crops, and steps down the mean of all gradients (see
`parts.shared_gradients`), so that all keep the same weights. The first process leads: it alone writes
checkpoints and records, validates and previews, and what it decides (plan, time used, stop) holds for
all. One process that ends with an error ends the others. Batch normalisation takes the statistics of
each process's own crops.

A run with one device is a run with one process, for which nothing here exchanges anything.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import psutil
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import nn

from napari_semiseg.engine.errors import SettingsError, TrainingError
from napari_semiseg.engine.methods.assembly import machine_for, make_fabric
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.parts.gradients import averaged
from napari_semiseg.engine.planning.machine import Machine
from napari_semiseg.engine.training.settings import TrainingSettings

LONGEST_SILENCE = timedelta(minutes=20)
"""After which a process that hears nothing gives up: longer than a validation, which only one does."""
LOOK_SECONDS = 1.0
CHECKED_EVERY = 100  # steps

Value = TypeVar("Value")


class OwnGradients(DDPStrategy):
    """Fabric's distributed processes without PyTorch's wrapper around each network.

    Methods average their gradients themselves, for the reasons given in `parts.shared_gradients`.
    """

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        """Return ``module`` as it is: the same seed has given all processes the same weights."""
        return module

    def __deepcopy__(self, memo: dict[int, Any]) -> OwnGradients:
        """Return itself: copies of a network, such as averages of its weights, share the processes."""
        return self


@dataclass(frozen=True)
class Processes:
    """One process of a training, and what it tells the others.

    Attributes
    ----------
    fabric : Fabric
        Launched; what the method of this process goes through.
    """

    fabric: Fabric

    @classmethod
    def gather(cls, settings: TrainingSettings, machine: Machine) -> Processes:
        """Start the other processes and wait until all are there; alone, only make the fabric.

        Raises
        ------
        SettingsError
            This machine has fewer devices, or its device cannot be shared.
        """
        machine = machine_for(settings.method, machine)
        if settings.devices * settings.nodes == 1:
            return cls(make_fabric(machine))
        _refuse_what_is_not_there(settings, machine)
        strategy = OwnGradients(timeout=LONGEST_SILENCE)
        shape = {"devices": settings.devices, "num_nodes": settings.nodes, "strategy": strategy}
        fabric = make_fabric(machine, **shape)
        fabric.launch()
        processes = cls(fabric)
        if not processes.leads:
            _follow_the_first(fabric.local_rank)
        return processes

    @property
    def count(self) -> int:
        """Number of processes."""
        return self.fabric.world_size

    @property
    def rank(self) -> int:
        """Which of them this is, 0…count − 1."""
        return self.fabric.global_rank

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes, measures and decides."""
        return self.rank == 0

    def of_the_first(self, value: Value) -> Value:
        """Return in every process what the first one has given."""
        return self.fabric.broadcast(value) if self.count > 1 else value

    def numbers_of_the_first(self, *values: float) -> tuple[float, ...]:
        """Return in every process the numbers of the first one; quick enough for every step."""
        if self.count == 1:
            return values
        mine = torch.tensor(values, dtype=torch.float64, device=self.fabric.device)
        mine = mine if self.leads else torch.zeros_like(mine)
        return tuple(self.fabric.all_reduce(mine, reduce_op="sum").tolist())  # type: ignore[union-attr]

    def all_agree(self, yes: bool) -> bool:
        """Whether the answer is yes in every process."""
        if self.count == 1:
            return yes
        refusals = torch.tensor(0.0 if yes else 1.0, device=self.fabric.device)
        return self.fabric.all_reduce(refusals, reduce_op="sum").item() == 0.0  # type: ignore[union-attr]

    def share(self, items: list[Any]) -> list[Any]:
        """Return the part of ``items`` that this process takes upon itself."""
        return items[self.rank :: self.count]

    def wait_for_all(self) -> None:
        """Wait until every process has come here."""
        if self.count > 1:
            self.fabric.barrier()

    def check_alike(self, method: Method, step: int) -> None:
        """Make sure, now and then, that all processes still have the same weights.

        Raises
        ------
        TrainingError
            They do not: the method changes weights without the others.
        """
        if self.count == 1 or step % CHECKED_EVERY != 1:
            return
        learning = [w for net in method.networks().values() for w in net.parameters()]
        mine = torch.stack([weight.detach().double().abs().sum() for weight in learning]).sum()
        (mean,) = averaged(self.fabric, [mine])
        alike = bool(torch.isclose(mean.float(), mine.float(), rtol=1e-5))
        if not self.all_agree(alike):
            raise TrainingError(
                f"The processes that train {method.title} no longer have the same weights at step "
                f"{step}; this method has to be trained on one device (--devices 1)."
            )


def lost_process(problem: BaseException) -> bool:
    """Tell whether an error means that another process has ended or no longer answers."""
    text = str(problem)
    known = isinstance(problem, torch.distributed.DistError)
    return known or any(word in text for word in ("closed by peer", "reset by peer", "gloo"))


def _refuse_what_is_not_there(settings: TrainingSettings, machine: Machine) -> None:
    if machine.device == "mps":
        raise SettingsError("Apple's MPS is one device and cannot be shared; leave --devices out.")
    there = torch.cuda.device_count() if machine.device == "cuda" else machine.cores
    if settings.devices > there:
        what = "CUDA devices" if machine.device == "cuda" else "CPU cores"
        raise SettingsError(
            f"This machine has {there} {what}, not {settings.devices}; choose --devices {there} or "
            "fewer."
        )


def _follow_the_first(local_rank: int) -> None:
    """Leave Ctrl-C to the first process, and end with it however it ends."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if local_rank == 0:
        return  # started by hand, on another machine than the first
    first = os.getppid()

    def watch() -> None:
        while os.getppid() == first and psutil.pid_exists(first):
            time.sleep(LOOK_SECONDS)
        os._exit(1)  # the main thread may wait for the others in a call that cannot be interrupted

    threading.Thread(target=watch, name="first process", daemon=True).start()
