"""From the fingerprint and the machine to a plan.

The rules, in order: the voxel size at which a patch sees enough of the scan, the patch that the
device can step through quickly, the depth that keeps the bottleneck at least four voxels wide, the
width and the batch. Each rule leaves a sentence in the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from napari_semiseg.engine.errors import SettingsError, TrainingError
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.planning.fingerprint import Fingerprint
from napari_semiseg.engine.planning.machine import Machine
from napari_semiseg.engine.planning.memory import BYTES_A_VOXEL_AND_FILTER
from napari_semiseg.engine.planning.plan import Normalisation, Plan, Preset
from napari_semiseg.engine.planning.presets import recipe_of

BOTTLENECK = 4  # voxels; below 3, bfloat16 weight gradients on the CPU are now and then NaN
FROM_THE_STUDY = ("class_values", "channels", "network.classes", "network.channels")
COARSEST = 3.0  # no axis is coarsened beyond this factor times the finest of the scan
PATCHES_A_SCAN = 2.0  # a scan larger than this many patches is coarsened
PAPER_PATCH = (80, 112, 112)


def make_plan(
    fingerprint: Fingerprint,
    machine: Machine,
    class_values: tuple[int, ...],
    preset: Preset = "modern",
    overrides: Mapping[str, Any] | None = None,
) -> Plan:
    """Plan a training run.

    Parameters
    ----------
    preset : {"modern", "paper"}
        Which recipe.
    overrides : mapping, optional
        Fields of `Plan` to set by hand; fields of its parts with a dot, such as
        ``{"patch": (32, 64, 64), "network.filters": 16, "recipe.learning_rate": 1e-3}``. With
        ``{"network.dimensions": 2}`` the whole plan is made for axial slices, one by one.

    Raises
    ------
    TrainingError
        The study has no classes.
    SettingsError
        An override names no field or has a value out of its range.
    """
    if not class_values:
        raise TrainingError("The study has no classes; name at least one structure to segment.")
    reasons: list[str] = []
    slices = (overrides or {}).get("network.dimensions") == 2
    spacing, shape = _spacing(fingerprint, machine, preset, slices, reasons)
    patch = _patch(shape, machine, preset, reasons)
    network = _network(fingerprint, machine, preset, patch, spacing, len(class_values) + 1, reasons)
    divisor = network.divisor if network.dimensions == 3 else (1, *network.divisor)
    patch = tuple(
        max(factor, extent // factor * factor)
        for extent, factor in zip(patch, divisor, strict=True)
    )
    plan = Plan(
        preset=preset,
        spacing=spacing,
        patch=patch,  # type: ignore[arg-type]
        class_values=class_values,
        channels=fingerprint.channels,
        normalisation=_normalisation(fingerprint, reasons),
        network=network,
        recipe=recipe_of(preset, fingerprint.is_ct),
        window_batch=4 if machine.device == "cpu" else 8,
        reasons=tuple(reasons),
    )
    return _override(plan, overrides or {})


def _voxel_budget(machine: Machine, preset: Preset) -> int:
    """Voxels of a patch that the device steps through fast enough, and that fit its memory."""
    if preset == "paper":
        fast = int(np.prod(PAPER_PATCH))
    else:
        fast = 160_000 if machine.device == "cpu" else 128**3
    filters = _filters(machine, preset)
    crops = 4 if preset == "paper" else 2
    fits = int(0.6 * machine.free_memory / (BYTES_A_VOXEL_AND_FILTER * filters * crops))
    return min(fast, max(fits, 16**3))


def _filters(machine: Machine, preset: Preset) -> int:
    if preset == "paper":
        return 16
    return 8 if machine.device == "cpu" else 32


def _spacing(
    fingerprint: Fingerprint, machine: Machine, preset: Preset, slices: bool, reasons: list[str]
) -> tuple[tuple[float, float, float], np.ndarray]:
    """Coarsen the finest axes first until a scan, or a slice, is a few patches large."""
    spacing = np.array(fingerprint.spacing)
    shape = np.array(fingerprint.shape)
    if slices or shape[0] < 2 * BOTTLENECK:
        shape[0] = 1  # slices so few cannot be pooled: a 2D network takes them one by one
    extent = spacing * shape
    if preset == "paper":
        reasons.append("Voxel size: as scanned (the papers train on it).")
        return _triple(spacing), np.round(extent / spacing).astype(int)
    allowed = PATCHES_A_SCAN * _voxel_budget(machine, preset)
    coarse = spacing.copy()
    limit = np.maximum(spacing, COARSEST * spacing.min())  # thick slices stay as they are
    while np.prod(extent / coarse) > allowed:
        free = (coarse < limit - 1e-9) & (extent / coarse > 2 * BOTTLENECK)
        if not free.any():
            break
        finest = coarse[free].min()
        coarse[free & (coarse <= finest * 1.001)] = finest * 1.05
    coarse = np.minimum(coarse, limit)
    if np.allclose(coarse, spacing):
        reasons.append("Voxel size: as scanned.")
    else:
        numbers = " × ".join(f"{mm:.2f}" for mm in coarse[::-1])
        reasons.append(f"Voxel size: {numbers} mm, so that a patch sees enough of the scan.")
    return _triple(coarse), np.maximum(1, np.round(extent / coarse)).astype(int)


def _triple(spacing: np.ndarray) -> tuple[float, float, float]:
    z, y, x = (round(float(mm), 4) for mm in spacing)
    return z, y, x


def _patch(
    shape: np.ndarray, machine: Machine, preset: Preset, reasons: list[str]
) -> tuple[int, ...]:
    """Give the patch the shape of the scan, and no more voxels than the budget."""
    if preset == "paper":
        patch = np.minimum(shape, np.array(PAPER_PATCH))
        reasons.append("Patch: the papers' 112 × 112 × 80 voxels, or the scan where it is smaller.")
        return tuple(int(extent) for extent in patch)
    budget = _voxel_budget(machine, preset)
    patch = shape.astype(float)
    while np.prod(patch) > budget:
        longest = patch.argmax()
        patch[longest] -= 1
    reasons.append(f"Patch: at most {budget:,} voxels on this {machine.device.upper()}.")
    return tuple(int(extent) for extent in patch)


def _network(
    fingerprint: Fingerprint,
    machine: Machine,
    preset: Preset,
    patch: tuple[int, ...],
    spacing: tuple[float, float, float],
    classes: int,
    reasons: list[str],
) -> NetworkSpecification:
    dimensions = 2 if patch[0] == 1 else 3
    extents, sizes = patch[3 - dimensions :], spacing[3 - dimensions :]
    strides = _strides(extents, sizes, at_most=4 if preset == "paper" else 5)
    reasons.append(
        f"Network: {len(strides)} levels in {dimensions}D keep its inside at least "
        f"{BOTTLENECK} voxels wide."
    )
    return NetworkSpecification(
        name="unet" if preset == "modern" else "vnet",
        dimensions=dimensions,  # type: ignore[arg-type]
        channels=fingerprint.channels,
        classes=classes,
        filters=_filters(machine, preset),
        strides=strides,
        normalisation="instance" if preset == "modern" else "batch",
        dropout=0.0 if preset == "modern" else 0.5,
    )


def _strides(
    patch: tuple[int, ...], spacing: tuple[float, ...], at_most: int
) -> tuple[tuple[int, ...], ...]:
    """Pool an axis while it stays wide enough, thick axes later than fine ones."""
    extents, sizes = list(patch), list(spacing)
    strides: list[tuple[int, ...]] = []
    while len(strides) < at_most:
        stride = tuple(
            2 if extent >= 2 * BOTTLENECK and size < 2 * min(sizes) else 1
            for extent, size in zip(extents, sizes, strict=True)
        )
        if not any(factor == 2 for factor in stride):
            break
        extents = [extent // factor for extent, factor in zip(extents, stride, strict=True)]
        sizes = [size * factor for size, factor in zip(sizes, stride, strict=True)]
        strides.append(stride)
    return tuple(strides) or ((1,) * len(patch),)


def _normalisation(fingerprint: Fingerprint, reasons: list[str]) -> Normalisation:
    if not fingerprint.is_ct:
        reasons.append("Intensity: each scan clipped to its 0.5–99.5 percentiles and z-scored.")
        return Normalisation(kind="scan")
    window, mean, deviation = [], [], []
    for values in fingerprint.foreground:
        low, high = (float(bound) for bound in np.percentile(values, (0.5, 99.5)))
        clipped = np.clip(values, low, high)
        window.append((low, high))
        mean.append(float(clipped.mean()))
        deviation.append(float(max(clipped.std(), 1e-6)))
    numbers = ", ".join(f"{low:.0f} to {high:.0f}" for low, high in window)
    reasons.append(f"Intensity: CT, clipped to {numbers} HU (what the labels contain).")
    return Normalisation(
        kind="ct", window=tuple(window), mean=tuple(mean), deviation=tuple(deviation)
    )


def _override(plan: Plan, overrides: Mapping[str, Any]) -> Plan:
    data = plan.model_dump()
    for name, value in overrides.items():
        if name in FROM_THE_STUDY:
            raise SettingsError(f"The plan's {name} follows from the study and cannot be set.")
        target, _, field = name.rpartition(".")
        part = data.get(target) if target else data
        if not isinstance(part, dict) or field not in part:
            names = [key for key in data if key not in ("reasons", "class_values", "channels")]
            raise SettingsError(f"The plan has no “{name}”; it has {', '.join(names)}.")
        part[field] = value
    try:
        changed = Plan.model_validate(data)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"The plan's {where} cannot be that: {first['msg']}.") from problem
    _check_patch(changed)
    return changed


def _check_patch(plan: Plan) -> None:
    """Refuse a patch that the network cannot take."""
    dimensions = plan.network.dimensions
    if any(len(stride) != dimensions for stride in plan.network.strides):
        raise SettingsError(
            f"The plan's network.strides {plan.network.strides} do not suit a {dimensions}D network; "
            f"give {dimensions} factors for each level."
        )
    if dimensions == 2 and plan.patch[0] != 1:
        raise SettingsError(
            f"The patch {plan.patch} does not suit a 2D network, which sees one slice at a time; "
            "its first extent must be 1."
        )
    if plan.network.name.startswith("monai:"):
        return
    for extent, factor in zip(plan.spatial, plan.network.divisor, strict=True):
        if extent % factor:
            raise SettingsError(
                f"The patch {plan.patch} cannot be halved as often as the network wants; "
                f"each axis must be a multiple of {plan.network.divisor}."
            )
