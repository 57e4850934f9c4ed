"""What methods with a signed distance head share: settings, targets and maps (spec §4.7).

The options say how the labels of a crop become the numbers that the head learns. They are the same
for every method, so that results of two methods with the same options can be compared.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.contract import MethodSettings, NativeMap
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.distance_task import answer_of_distance
from napari_semiseg.engine.parts.signed_distance import (
    SignedDistanceOptions,
    begin_signed_distance_target,
    signed_distance_target,
)
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch
from napari_semiseg.engine.sampling.patch_cache import DistanceMaps

OWN_DISTANCE = NativeMap(
    "own_distance", "Distance as the network learns it", "distance", "foreground"
)
DISTANCE_MASKS = NativeMap("distance_masks", "Prediction by the distance", "classes", "classes")


class SignedDistanceSettings(MethodSettings):
    """How signed distances are made from labels, and turned into masks."""

    steepness: float = Field(
        1500.0, gt=0, le=10_000, title="Steepness",
        description="How sharply a signed distance turns into a mask.",
    )  # fmt: skip
    domain: Literal["crop", "volume"] = Field(
        "crop", title="Distances are measured in",
        description="Each crop by itself (the authors' code), or the whole scan once, so that the same "
        "place has the same distance in every crop; 2D networks measure whole slices.",
    )  # fmt: skip
    normalisation: Literal["per_side_max", "clip", "none"] = Field(
        "per_side_max", title="Distance normalisation",
        description="Of the distances that are learnt: by the largest on each side (the authors' "
        "code), clipped at a reach, so that the head's map has a unit, or only squashed by the head's "
        "tanh.",
    )  # fmt: skip
    boundary: Literal["inner", "half_voxel"] = Field(
        "inner", title="Zero distance",
        description="On a structure's own border voxels (the authors' code), or between them and "
        "their neighbours outside.",
    )  # fmt: skip
    unit: Literal["auto", "voxel", "mm"] = Field(
        "auto", title="Unit of the distance",
        description="Voxels, millimetres, or “auto”: voxels for a normalisation by the largest "
        "distance (the authors' code), else millimetres.",
    )  # fmt: skip
    reach: float = Field(
        10.0, gt=0, le=200, title="Reach",
        description="Distance that a clipped map can show, or from which the head's tanh squashes "
        "one that is not normalised.",
    )  # fmt: skip

    @property
    def distance_options(self) -> SignedDistanceOptions:
        """How a distance becomes a target."""
        return SignedDistanceOptions(self.normalisation, self.boundary, self.reach, self.unit)


def begin_target(batch: Batch, classes: int, settings: SignedDistanceSettings) -> Future[Tensor]:
    """Start to make the targets of the labelled crops; call before the forward pass.

    Parameters
    ----------
    batch : Batch
        With `Batch.signed_distance` where the settings' domain is the volume.
    settings : SignedDistanceSettings
        The method's.

    Returns
    -------
    Future of Tensor
        (labelled, C − 1, *spatial) float32 in −1…1.
    """
    if settings.domain == "crop":
        options = settings.distance_options
        return begin_signed_distance_target(batch.labels, classes, batch.spacing, options)
    assert batch.signed_distance is not None, "the sampler was not asked for signed distances"
    ready: Future[Tensor] = Future()
    ready.set_result(batch.signed_distance)
    return ready


def maps_of_whole_cases(settings: MethodSettings, plan: Plan) -> DistanceMaps | None:
    """Return how to make the maps that the sampler is to deliver, if the settings ask for any.

    Distances are measured on the model grid, through the whole case; for 2D networks through each
    slice by itself, as such a network sees nothing of its neighbours.
    """
    if not isinstance(settings, SignedDistanceSettings) or settings.domain == "crop":
        return None
    options, flat = settings.distance_options, plan.network.dimensions == 2

    def make(label: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        indices = torch.from_numpy(np.array(label))
        if flat:
            slices = signed_distance_target(indices, plan.classes, spacing[1:], options)
            return slices.movedim(1, 0).numpy()
        return signed_distance_target(indices[None], plan.classes, spacing, options)[0].numpy()

    return DistanceMaps(f"{options!r} in {plan.network.dimensions}D", make)


def distance_of(answers: Answers, network: nn.Module) -> Tensor:
    """Signed distance (B, C − 1, *spatial) of a network with that head, as it is learnt."""
    distance = answers.of(network).signed_distance
    assert distance is not None
    return distance


def masks_of(answers: Answers, network: nn.Module, settings: SignedDistanceSettings) -> Tensor:
    """Class probabilities (B, C, *spatial) by the signed distance of a network with that head."""
    return answer_of_distance(distance_of(answers, network), settings.steepness)
