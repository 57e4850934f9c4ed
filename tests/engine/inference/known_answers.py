"""Methods that answer from the intensities alone, so that their maps are known exactly."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch

from napari_semiseg.engine.methods.contract import Method, NativeMap, Paper, PatchMaps
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.planning.plan import Normalisation, Plan
from napari_semiseg.engine.planning.presets import recipe_of
from napari_semiseg.engine.volumes import Geometry, Volume


def make_plan(patch=(8, 8, 8), spacing=(1.0, 1.0, 1.0), class_values=(3,), channels=1):
    dimensions = 2 if patch[0] == 1 else 3
    return Plan(
        preset="modern",
        spacing=spacing,
        patch=patch,
        class_values=class_values,
        channels=channels,
        # Values pass through unchanged but for a clip that no test reaches.
        normalisation=Normalisation(
            kind="ct",
            window=((-1e6, 1e6),) * channels,
            mean=(0.0,) * channels,
            deviation=(1.0,) * channels,
        ),
        network=NetworkSpecification(
            dimensions=dimensions,
            channels=channels,
            classes=len(class_values) + 1,
            strides=((2,) * dimensions,),
        ),
        recipe=recipe_of("modern", is_ct=False),
    )


class Threshold(Method):
    """Class i + 1 where the first channel lies above ``thresholds[i]``; features are one-hot."""

    key = "threshold"
    title = "Threshold"
    paper = Paper("Nobody", "None", "Nowhere", 2024)
    summary = "Intensities above a threshold."

    def __init__(self, plan, thresholds=(0.5,), head=False, reach=None):
        super().__init__(plan, self.Settings(), SimpleNamespace(device=torch.device("cpu")))
        self.thresholds, self.head, self.reach = thresholds, head, reach
        self.seen = []
        self.prototypes = torch.eye(plan.classes)

    def training_step(self, batch, clock):
        raise NotImplementedError

    def predict(self, patch, uncertainty=True, native=False):
        self.seen.append(tuple(patch.shape))
        index = sum((patch[:, 0] > threshold).long() for threshold in self.thresholds)
        classes = len(self.thresholds) + 1
        one_hot = torch.nn.functional.one_hot(index, classes).movedim(-1, 1).float()
        return PatchMaps(
            probabilities=one_hot,
            uncertainty=torch.full_like(one_hot[:, 0], 0.25) if uncertainty else None,
            features=one_hot,
            signed_distance=0.5 - one_hot[:, 1:] if self.head else None,
        )

    @property
    def uncertainty_source(self):
        return "nothing"

    @property
    def signed_distance_reach(self):
        return self.reach

    def networks(self):
        return {}

    def optimisers(self):
        return {}


class TwoAnswers(Threshold):
    """A threshold with a second answer and with maps of its own, one of each look.

    The second answer sees class i + 1 only from ``thresholds[i] + 0.2`` on.
    """

    key = "two-answers"
    title = "Two answers"
    native_maps = (
        NativeMap("second_answer", "Second answer", "classes", "classes"),
        NativeMap("mask", "Mask from the distance", "share", "foreground"),
        NativeMap("border", "Distance of the second head", "distance", "foreground", 12.0, "mm"),
        NativeMap("likeness", "Likeness of the second answer", "similarity", "classes"),
        NativeMap("kept", "Trusted in training", "share"),
    )

    def predict(self, patch, uncertainty=True, native=False):
        maps = super().predict(patch, uncertainty)
        index = sum((patch[:, 0] > threshold + 0.2).long() for threshold in self.thresholds)
        classes = maps.probabilities.shape[1]
        second = torch.nn.functional.one_hot(index, classes).movedim(-1, 1).float()
        difference = (second - maps.probabilities).abs().sum(dim=1) / 2
        own = {
            "second_answer": second,
            "mask": second[:, 1:],
            "border": 6 - 12 * second[:, 1:],
            "likeness": 2 * second - 1,
            "kept": torch.full_like(second[:, :1], 0.75),
        }
        return replace(
            maps,
            disagreement=difference if uncertainty else None,
            native=own if native else {},
        )


class CoarseFeatures(Threshold):
    """A threshold whose features are made of averages over 4 voxels along each axis."""

    def predict(self, patch, uncertainty=True, native=False):
        maps = super().predict(patch, uncertainty)
        pool = (
            torch.nn.functional.avg_pool2d if patch.dim() == 4 else torch.nn.functional.avg_pool3d
        )
        means = pool(patch[:, :1], 4)
        features = torch.cat([means, means.square(), torch.cos(3 * means), 1 - means], dim=1)
        return replace(maps, features=features)


def affine_of(axes, spacing, origin=(10.0, -20.0, 30.0)):
    """Return the affine of a grid whose voxel axes (x, y, z) point along the letters of ``axes``."""
    world = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for voxel_axis, (letter, size) in enumerate(zip(axes, spacing, strict=True)):
        row, sign = world[letter]
        affine[row, voxel_axis] = sign * size
    affine[:3, 3] = origin
    return affine


def make_volume(voxels, axes="RAS", spacing=(1.0, 1.0, 1.0)):
    """Return a volume of ``voxels`` ([channels,] z, y, x) with ``spacing`` along x, y, z."""
    voxels = np.asarray(voxels, np.float32)
    voxels = voxels[None] if voxels.ndim == 3 else voxels
    geometry = Geometry(voxels.shape[1:], affine_of(axes, spacing), None)
    names = tuple(f"channel {index}" for index in range(len(voxels)))
    return Volume(voxels, geometry, None, names)


def finish(generator):
    """Run a generator to its end; return what it yielded and what it returned."""
    yielded = []
    while True:
        try:
            yielded.append(next(generator))
        except StopIteration as end:
            return yielded, end.value


def blob():
    """Return a mask (z, y, x) that no flip or turn maps onto itself."""
    mask = np.zeros((12, 14, 17), bool)
    mask[2:7, 3:10, 4:9] = True
    mask[7:10, 8:12, 9:15] = True
    mask[0, 0, 0] = True
    return mask
