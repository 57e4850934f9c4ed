"""Batches of labelled and unlabelled crops, reproducible from the seed and the step.

Two endless streams go through shuffled passes of the labelled and of the unlabelled cases. Where
the streams stand is the sampler's whole state, so that a resumed run draws what the interrupted one
would have drawn. Used by the training loop on the worker's thread.
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
from napari_semiseg.engine.sampling.patch_cache import CachedCase


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
    """

    images: Tensor
    plain_images: Tensor
    labels: Tensor
    spacing: tuple[float, ...]
    cases: tuple[str, ...]

    @property
    def labelled(self) -> int:
        """Number of labelled crops, which come first."""
        return len(self.labels)

    @property
    def unlabelled(self) -> int:
        """Number of unlabelled crops, which come last."""
        return len(self.images) - len(self.labels)


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
    device : torch.device
        Where the batch goes.
    """

    def __init__(
        self,
        labelled: Sequence[CachedCase],
        unlabelled: Sequence[CachedCase],
        plan: Plan,
        seed: int,
        device: torch.device,
    ) -> None:
        self.labelled, self.unlabelled = list(labelled), list(unlabelled) or list(labelled)
        self.plan, self.seed, self.device = plan, seed, device
        self.drawn = {"labelled": 0, "unlabelled": 0}

    def state_dict(self) -> dict[str, int]:
        """Return where the two streams stand."""
        return dict(self.drawn)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from where `state_dict` stood."""
        self.drawn = {name: int(state[name]) for name in self.drawn}

    def draw(self, labelled: int, unlabelled: int) -> Batch:
        """Draw the next batch of ``labelled`` + ``unlabelled`` crops."""
        position = (self.drawn["labelled"], self.drawn["unlabelled"])
        generator = torch.Generator().manual_seed(_mix(self.seed, *position))
        images, labels, names = [], [], []
        for case in self._next("labelled", labelled):
            image, label = self._crop(case, generator)
            assert label is not None
            images.append(image)
            labels.append(label)
            names.append(case.name)
        for case in self._next("unlabelled", unlabelled):
            images.append(self._crop(case, generator, with_label=False)[0])
            names.append(case.name)
        shape = self.plan.spatial
        plain = torch.stack(images).reshape(len(images), -1, *shape).to(self.device)
        stacked = torch.stack(labels).reshape(-1, *shape) if labels else torch.zeros(0, *shape)
        return Batch(
            images=self._intensities(plain, generator),
            plain_images=plain,
            labels=stacked.long().to(self.device),
            spacing=self.plan.spacing[3 - len(shape) :],
            cases=tuple(names),
        )

    def _intensities(self, plain: Tensor, generator: torch.Generator) -> Tensor:
        if self.plan.recipe.augmentation == "strong":
            return change_intensities(plain, generator)
        if self.plan.recipe.augmentation == "noise":
            return add_noise(plain, generator)
        return plain

    def _next(self, stream: str, count: int) -> list[CachedCase]:
        cases = self.labelled if stream == "labelled" else self.unlabelled
        chosen = []
        for _ in range(count):
            epoch, place = divmod(self.drawn[stream], len(cases))
            order = np.random.default_rng([self.seed, epoch, len(stream)]).permutation(len(cases))
            chosen.append(cases[order[place]])
            self.drawn[stream] += 1
        return chosen

    def _crop(
        self, case: CachedCase, generator: torch.Generator, with_label: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Cut one crop (channels, z, y, x) and its label (z, y, x)."""
        label = case.label if with_label else None
        centre = self._centre(case, generator)
        patch = self.plan.patch
        if self.plan.recipe.augmentation == "strong":
            positions = sampling_grid(patch, centre, case.spacing, generator)
            return read_at(case.image, label, positions, self.plan.classes)
        image, indices = cut(case.image, label, centre, patch)
        if self.plan.recipe.augmentation == "mirror":
            return mirror(image, indices, generator)
        return image, indices

    def _centre(self, case: CachedCase, generator: torch.Generator) -> np.ndarray:
        """Draw the centre of a crop, in voxels; the crop stays inside scans that are larger."""
        shape = np.array(case.image.shape[1:])
        half = np.array(self.plan.patch) / 2
        low = np.minimum(half, shape / 2) - 0.5
        high = np.maximum(shape - half, shape / 2) - 0.5
        chance, *shares = torch.rand(4, generator=generator).tolist()
        if case.foreground and chance < self.plan.recipe.foreground_share:
            positions = case.foreground[
                int(torch.randint(len(case.foreground), (), generator=generator))
            ]
            row = int(torch.randint(len(positions), (), generator=generator))
            return np.clip(positions[row], low, high)
        return low + np.array(shares) * (high - low)


def cut(
    image: np.ndarray, label: np.ndarray | None, centre: np.ndarray, patch: tuple[int, int, int]
) -> tuple[Tensor, Tensor | None]:
    """Cut a crop without interpolation; beyond the scan, the border's value.

    Parameters
    ----------
    image, label : ndarray
        (channels, z, y, x) and (z, y, x).
    centre : ndarray
        Centre in voxels.
    patch : tuple of int
        Crop size (z, y, x).
    """
    rows = [
        np.clip(round(float(middle) - (extent - 1) / 2) + np.arange(extent), 0, size - 1)
        for middle, extent, size in zip(centre, patch, image.shape[1:], strict=True)
    ]
    index = np.ix_(*rows)
    crop = torch.from_numpy(np.stack([channel[index] for channel in image]).astype(np.float32))
    if label is None:
        return crop, None
    return crop, torch.from_numpy(label[index].astype(np.int64))


def _mix(seed: int, labelled: int, unlabelled: int) -> int:
    """Make one 63-bit seed of three numbers."""
    words = np.random.SeedSequence([seed, labelled, unlabelled]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
