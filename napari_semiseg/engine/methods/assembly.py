"""Putting a method together on a device, and storing it in a checkpoint or taking it out again.

A checkpoint is one file that holds the method's key, its settings, its plan and its state: enough to
predict without the study that it was trained on. Written atomically; read without unpickling code.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.methods.contract import Method, MethodSettings
from napari_semiseg.engine.methods.registry import method_of, method_of_run
from napari_semiseg.engine.planning.machine import Machine
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.stored import from_stored

CHECKPOINT = "checkpoint.pt"
FORMAT = 1
FAST_PRECISION = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes
    ----------
    method : str
        Key of the method.
    settings : dict
        Its hyper-parameters.
    plan : Plan
        The plan it was trained with.
    state : dict
        `Method.state_dict`.
    progress : dict
        Where training stood: ``step``, ``seconds``, ``share``, the sampler's streams and the seed.
    """

    method: str
    settings: dict[str, Any]
    plan: Plan
    state: dict[str, Any]
    progress: dict[str, Any]


def make_fabric(machine: Machine, **processes: Any) -> Fabric:
    """Make the Lightning Fabric object for one device of ``machine``.

    ``processes`` are arguments of `Fabric` for a training by several processes.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision
    one = [torch.cuda.current_device()] if machine.device == "cuda" else 1
    return Fabric(
        accelerator=machine.device,
        precision=machine.precision,
        **({"devices": one} | processes),
    )


def machine_for(key: str, machine: Machine) -> Machine:
    """Return the machine in the precision that the method ``key`` can be trained in."""
    full = method_of(key).needs_full_precision
    return replace(machine, precision="32-true") if full else machine


def assemble(
    key: str,
    plan: Plan,
    settings: MethodSettings,
    machine: Machine,
    fabric: Fabric | None = None,
) -> Method:
    """Build the method ``key`` with fresh networks on the machine's device.

    Parameters
    ----------
    plan, settings, machine
        What it is trained with, and where.
    fabric : Fabric, optional
        Of processes that train together, made for `machine_for` this method; by default one device is
        taken.

    Raises
    ------
    SettingsError
        Unknown method, or a network that cannot be built.
    """
    chosen = method_of(key)
    method = chosen(plan, settings, fabric or make_fabric(machine_for(key, machine)))
    if chosen.needs_full_precision:
        method.fast_precision = FAST_PRECISION.get(machine.precision)
    return method


def save_checkpoint(folder: Path, method: Method, progress: dict[str, Any]) -> None:
    """Write the checkpoint of ``method`` into ``folder``, replacing the old one in one instant.

    Raises
    ------
    StudyError
        The disk is full or read-only; the old checkpoint is then still there.
    """
    content = {
        "format": FORMAT,
        "method": method.key,
        "settings": method.settings.model_dump(),
        "plan": method.plan.model_dump_json(),
        "state": method.state_dict(),
        "progress": progress,
    }
    temporary = folder / f"writing-{os.getpid()}-{CHECKPOINT}"
    try:
        with open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / CHECKPOINT)
    except (OSError, RuntimeError) as problem:
        temporary.unlink(missing_ok=True)
        raise StudyError(
            f"The checkpoint of run {folder.name} cannot be written ({problem}); free some disk space "
            "or make the study folder writable. The last checkpoint is unharmed."
        ) from problem


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read the checkpoint in ``folder`` without running any code from the file.

    Raises
    ------
    StudyError
        There is none, it cannot be read, or it is of another format.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise StudyError(f"Run {folder.name} has no checkpoint yet; train it first.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        written_as = content["format"]
    except Exception as problem:
        raise StudyError(
            f"The checkpoint of run {folder.name} cannot be read; train again or restore the file "
            f"{CHECKPOINT} from a backup."
        ) from problem
    if written_as != FORMAT:
        raise StudyError(
            f"The checkpoint of run {folder.name} has the format {written_as} of another version of "
            f"napari-semiseg, and this one reads format {FORMAT}; update napari-semiseg or train again."
        )
    what = f"The checkpoint of run {folder.name}"
    plan = from_stored(Plan, json.loads(content.get("plan", "{}")), what)
    return from_stored(Checkpoint, content | {"plan": plan}, what)


def restore(folder: Path, machine: Machine) -> tuple[Method, Checkpoint]:
    """Build the method of the checkpoint in ``folder`` on ``machine`` and load its state.

    Raises
    ------
    StudyError
        As `load_checkpoint`; its method is not installed, or its weights are for other networks.
    """
    checkpoint = load_checkpoint(folder)
    settings = stored_settings(checkpoint, folder.name)
    method = assemble(checkpoint.method, checkpoint.plan, settings, machine)
    try:
        method.load_state_dict(checkpoint.state)
    except (KeyError, RuntimeError) as problem:
        raise StudyError(
            f"The weights of run {folder.name} are for networks that this version of napari-semiseg "
            f"builds otherwise; train again with {method.title}."
        ) from problem
    method.move(method.fabric.device)
    return method, checkpoint


def stored_settings(checkpoint: Checkpoint, run: str) -> MethodSettings:
    """Return the hyper-parameters of a checkpoint, read by the method that is installed.

    Raises
    ------
    StudyError
        It is not installed, or cannot have such a value.
    """
    method = method_of_run(checkpoint.method, run)
    return from_stored(method.Settings, checkpoint.settings, f"The settings of run {run}")
