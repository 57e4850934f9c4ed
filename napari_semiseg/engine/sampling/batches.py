"""Batches of labelled and unlabelled crops, reproducible from the seed and the step.

Two endless streams go through shuffled passes of the labelled and of the unlabelled cases. Where the
streams stand is the sampler's whole state, so that a resumed run draws what the interrupted one would
have drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.augmentation import (
    add_noise,
    change_intensities,
    mirror,
    read_at,
    sampling_grid,
)
from napari_semiseg.engine.sampling.patch_cache import IGNORED, CachedCase


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops of one step, labelled ones first.

    Attributes
    ----------
    images : Tensor
        (B, channels, *spatial) as the student sees them.
    plain_images : Tensor
        The same crops before any intensity change, for teachers.
    labels : Tensor
        (labelled, *spatial) int64 class indices, 255 ignored.
    spacing : tuple of float
        Voxel size in mm of the spatial axes.
    cases : tuple of str
        Where each crop comes from.
    positions : Tensor or None
        (B, *spatial, 3) where each voxel of a crop was read, (z, y, x) in voxels of the case on the
        model grid; only for methods that ask for it.
    hidden_labels : Tensor or None
        (unlabelled, *spatial) int64 class indices that no loss but an oracle's may see, 255 where a
        case has no label at all; only for methods that ask for it.
    signed_distance : Tensor or None
        (labelled, C − 1, *spatial) float32 in −1…1, negative inside, measured in whole cases and read
        where the crops were; only for methods that ask for it. Exact where crops are moved and turned.
        Where augmentation scales or bends them, the zero level goes with the label, but the values
        stay those of the case: by the factor of the scaling (within exp(±0.22) along each axis) too
        small where the crop is magnified, too large where it shrinks.
    """

    images: Tensor
    plain_images: Tensor
    labels: Tensor
    spacing: tuple[float, ...]
    cases: tuple[str, ...]
    positions: Tensor | None = None
    hidden_labels: Tensor | None = None
    signed_distance: Tensor | None = None

    @property
    def labelled(self) -> int:
        """Number of labelled crops, which come first."""
        return len(self.labels)

    @property
    def unlabelled(self) -> int:
        """Number of unlabelled crops, which come last."""
        return len(self.images) - len(self.labels)


@dataclass(frozen=True, eq=False)
class Crop:
    """One crop as it is cut from a case.

    Attributes
    ----------
    image : Tensor
        (channels, z, y, x) float32.
    label : Tensor or None
        (z, y, x) int64 class indices.
    positions : Tensor
        (z, y, x, 3) float32 voxel positions in the case, (z, y, x).
    signed_distance : Tensor or None
        (C − 1, z, y, x) float32 of the case, where it has one and the label is wanted.
    """

    image: Tensor
    label: Tensor | None
    positions: Tensor
    signed_distance: Tensor | None = None


class BatchSampler:
    """Draws batches from cached cases.

    Parameters
    ----------
    labelled, unlabelled : sequence of CachedCase
        The two streams; unlabelled may be empty, then labelled cases take its place without labels.
    plan : Plan
        Patch, augmentation and share of foreground crops.
    seed : int
        With the streams' positions, decides every draw.
    process, processes : int
        Which of how many samplers this is that share the streams: each draws what one alone would draw
        in one of as many draws after one another.
    """

    def __init__(
        self,
        labelled: Sequence[CachedCase],
        unlabelled: Sequence[CachedCase],
        plan: Plan,
        seed: int,
        device: torch.device,
        positions: bool = False,
        hidden_labels: bool = False,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.labelled, self.unlabelled = list(labelled), list(unlabelled) or list(labelled)
        self.plan, self.seed, self.device = plan, seed, device
        self.positions, self.hidden_labels = positions, hidden_labels
        self.process, self.processes = process, processes
        self.drawn = {"labelled": 0, "unlabelled": 0}
        self._orders: dict[str, tuple[int, np.ndarray]] = {}

    def state_dict(self) -> dict[str, int]:
        """Return where the two streams stand."""
        return dict(self.drawn)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from where `state_dict` stood."""
        self.drawn = {name: int(state[name]) for name in self.drawn}

    def draw(self, labelled: int, unlabelled: int) -> Batch:
        """Draw the next batch of ``labelled`` + ``unlabelled`` crops."""
        first = self.drawn["labelled"] + self.process * labelled
        first_other = self.drawn["unlabelled"] + self.process * unlabelled
        generator = torch.Generator().manual_seed(_mix(self.seed, first, first_other))
        cases = self._cases("labelled", range(first, first + labelled))
        others = self._cases("unlabelled", range(first_other, first_other + unlabelled))
        self.drawn["labelled"] += self.processes * labelled
        self.drawn["unlabelled"] += self.processes * unlabelled
        crops = [self._crop(case, generator, with_label=True) for case in cases]
        crops += [self._crop(case, generator, self.hidden_labels) for case in others]
        shape = self.plan.spatial
        plain = torch.stack([crop.image for crop in crops])
        plain = plain.reshape(len(crops), -1, *shape).to(self.device)
        return Batch(
            images=self._intensities(plain, generator),
            plain_images=plain,
            labels=self._stack_labels(crops[:labelled]),
            spacing=self.plan.spacing[3 - len(shape) :],
            cases=tuple(case.name for case in [*cases, *others]),
            positions=self._stack_positions(crops) if self.positions else None,
            hidden_labels=self._stack_labels(crops[labelled:]) if self.hidden_labels else None,
            signed_distance=self._stack_distances(crops[:labelled]),
        )

    def _stack_labels(self, crops: list[Crop]) -> Tensor:
        """Stack labels (crops, *spatial); a crop of a case without one is ignored throughout."""
        shape = self.plan.spatial
        ignored = torch.full(self.plan.patch, IGNORED)
        labels = [ignored if crop.label is None else crop.label for crop in crops]
        stacked = torch.stack(labels).reshape(-1, *shape) if labels else torch.zeros(0, *shape)
        return stacked.long().to(self.device)

    def _stack_positions(self, crops: list[Crop]) -> Tensor:
        positions = torch.stack([crop.positions for crop in crops])
        return positions.reshape(-1, *self.plan.spatial, 3).to(self.device)

    def _stack_distances(self, crops: list[Crop]) -> Tensor | None:
        distances = [crop.signed_distance for crop in crops if crop.signed_distance is not None]
        if len(distances) < len(crops) or not crops:
            return None
        stacked = torch.stack(distances).reshape(len(crops), -1, *self.plan.spatial)
        return stacked.to(self.device)

    def _intensities(self, plain: Tensor, generator: torch.Generator) -> Tensor:
        if self.plan.recipe.augmentation == "strong":
            return change_intensities(plain, generator)
        if self.plan.recipe.augmentation == "noise":
            return add_noise(plain, generator)
        return plain

    def _cases(self, stream: str, places: range) -> list[CachedCase]:
        """Return the cases at ``places`` of a stream; each pass through them is shuffled once."""
        cases = self.labelled if stream == "labelled" else self.unlabelled
        chosen = []
        for place in places:
            turn, within = divmod(place, len(cases))
            if self._orders.get(stream, (-1,))[0] != turn:
                random = np.random.default_rng([self.seed, turn, len(stream)])
                self._orders[stream] = (turn, random.permutation(len(cases)))
            chosen.append(cases[self._orders[stream][1][within]])
        return chosen

    def _crop(self, case: CachedCase, generator: torch.Generator, with_label: bool) -> Crop:
        """Cut one crop; all that belongs to it is read at the same positions."""
        image = case.image
        label, distances = (case.label, case.signed_distance) if with_label else (None, None)
        centre = self._centre(case, image.shape[1:], generator)
        patch = self.plan.patch
        if self.plan.recipe.augmentation == "strong":
            positions = sampling_grid(patch, centre, case.spacing, generator)
            voxels, indices = read_at(image, label, positions, self.plan.classes)
            distance = None if distances is None else read_at(distances, None, positions, 0)[0]
            return Crop(voxels, indices, positions, distance)
        crop = cut(image, label, centre, patch, distances)
        if self.plan.recipe.augmentation == "mirror":
            return _mirrored(crop, generator)
        return crop

    def _centre(
        self, case: CachedCase, extents: tuple[int, ...], generator: torch.Generator
    ) -> np.ndarray:
        """Draw the centre of a crop, in voxels; the crop stays inside scans that are larger."""
        shape = np.array(extents)
        half = np.array(self.plan.patch) / 2
        low = np.minimum(half, shape / 2) - 0.5
        high = np.maximum(shape - half, shape / 2) - 0.5
        chance, *shares = torch.rand(4, generator=generator).tolist()
        if case.foreground and chance < self.plan.recipe.foreground_share:
            positions = case.foreground[
                int(torch.randint(len(case.foreground), (), generator=generator))
            ]
            row = int(torch.randint(len(positions), (), generator=generator))
            centre: np.ndarray = np.clip(positions[row], low, high)
            return centre
        drawn = low + np.array(shares) * (high - low)
        if self.plan.patch[0] == 1:  # between two slices lies nothing that was ever scanned
            drawn[0] = min(int(shares[0] * extents[0]), extents[0] - 1)
        return drawn


def cut(
    image: np.ndarray,
    label: np.ndarray | None,
    centre: np.ndarray,
    patch: tuple[int, int, int],
    signed_distance: np.ndarray | None = None,
) -> Crop:
    """Cut a crop without interpolation; beyond the scan, the border's value.

    Parameters
    ----------
    image, label : ndarray
        (channels, z, y, x) and (z, y, x).
    centre : ndarray
        Centre in voxels.
    patch : tuple of int
        Crop size (z, y, x).
    signed_distance : ndarray, optional
        (C − 1, z, y, x).
    """
    rows = [
        np.clip(round(float(middle) - (extent - 1) / 2) + np.arange(extent), 0, size - 1)
        for middle, extent, size in zip(centre, patch, image.shape[1:], strict=True)
    ]
    index = np.ix_(*rows)

    def channels(maps: np.ndarray) -> Tensor:
        return torch.from_numpy(np.stack([channel[index] for channel in maps]).astype(np.float32))

    axes = [torch.from_numpy(row.astype(np.float32)) for row in rows]
    return Crop(
        image=channels(image),
        label=None if label is None else torch.from_numpy(label[index].astype(np.int64)),
        positions=torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1),
        signed_distance=None if signed_distance is None else channels(signed_distance),
    )


def _mirrored(crop: Crop, generator: torch.Generator) -> Crop:
    """Turn and flip a crop; positions and distances are turned as further channels of the image."""
    parts = [crop.image, crop.positions.permute(3, 0, 1, 2)]
    if crop.signed_distance is not None:
        parts.append(crop.signed_distance)
    turned, label = mirror(torch.cat(parts), crop.label, generator)
    image, positions, *distance = turned.split([len(part) for part in parts])
    return Crop(image, label, positions.permute(1, 2, 3, 0), distance[0] if distance else None)


def _mix(seed: int, labelled: int, unlabelled: int) -> int:
    """Make one 63-bit seed of three numbers."""
    words = np.random.SeedSequence([seed, labelled, unlabelled]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
