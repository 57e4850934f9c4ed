"""The plan of a training run: every number that the user does not have to know.

A plan is plain data. It is made by `make_plan`, stored with the run and with its checkpoint, and read
by sampling, methods and inference.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from napari_semiseg.engine.networks.specification import NetworkSpecification

Preset = Literal["modern", "paper"]


class Normalisation(BaseModel):
    """How intensities become network inputs.

    Attributes
    ----------
    kind : {"ct", "scan"}
        ``"ct"`` clips every scan to the same window and scales by the same mean and standard
        deviation (Hounsfield units mean something); ``"scan"`` clips each scan to its own percentiles
        and z-scores it (MR units mean nothing across scans).
    window : tuple of float
        Lower and upper bound of each channel, in the scans' units; ``"ct"`` only.
    mean, deviation : tuple of float
        One value a channel; ``"ct"`` only.
    percentiles : tuple of float
        Lower and upper percentile of each scan; ``"scan"`` only.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["ct", "scan"] = "scan"
    window: tuple[tuple[float, float], ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    percentiles: tuple[float, float] = (0.5, 99.5)


class Recipe(BaseModel):
    """How a network is optimised: the part of a preset that does not depend on the scans.

    Attributes
    ----------
    optimiser : {"adamw", "sgd"}
        SGD has momentum 0.9.
    schedule : {"cosine", "steps", "poly"}
        A function of the share of the budget used: cosine to 1 % after a warm-up of 50 steps; ×0.1 at
        2500/6000 and 5000/6000 (the left-atrium papers); (1 − share)^0.9 (the BraTS papers).
    gradient_clip : float or None
        Largest gradient norm.
    average_decay : float or None
        Decay of the averaged weights that answer at inference; None: the weights themselves answer.
    warm_start_share : float
        Share of the budget in which a semi-supervised method trains on labelled crops only.
    augmentation : {"strong", "mirror", "noise"}
        Strong geometric and intensity changes; quarter turns and flips (the papers on MR); noise only
        (the papers on CT).
    labelled, unlabelled : int
        Crops a step of a semi-supervised method.
    labelled_alone : int
        Crops a step when only labelled ones are used.
    foreground_share : float
        Share of the labelled crops that are centred near a foreground voxel.
    """

    model_config = ConfigDict(frozen=True)

    optimiser: Literal["adamw", "sgd"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = 1e-4
    schedule: Literal["cosine", "steps", "poly"]
    gradient_clip: float | None
    average_decay: float | None
    warm_start_share: float = Field(ge=0, lt=1)
    augmentation: Literal["strong", "mirror", "noise"]
    labelled: int = Field(ge=1)
    unlabelled: int = Field(ge=1)
    labelled_alone: int = Field(ge=1)
    foreground_share: float = Field(ge=0, le=1)


class Plan(BaseModel):
    """Everything that is decided before training starts.

    Attributes
    ----------
    preset : {"modern", "paper"}
        Recipe that performs best here, or the papers' own.
    spacing : tuple of float
        Voxel size of the model grid, (z, y, x) in mm, after the scan is turned to the nearest
        superior, anterior, right axes.
    patch : tuple of int
        Voxels of a training crop and of an inference window, (z, y, x); z is 1 for 2D networks.
    class_values : tuple of int
        The study's foreground values in order; class index i + 1 of the network is value i.
    channels : int
        Image channels.
    normalisation, network, recipe
        See the classes.
    window_batch : int
        Windows that inference puts through the network at once.
    largest_component : bool
        Keep only the largest connected component of each class of a prediction, as the test scripts of
        DTC and DTML do.
    reasons : tuple of str
        One sentence for each choice, for the user who asks why.
    """

    model_config = ConfigDict(frozen=True)

    preset: Preset
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    patch: tuple[PositiveInt, PositiveInt, PositiveInt]
    class_values: tuple[int, ...]
    channels: int
    normalisation: Normalisation
    network: NetworkSpecification
    recipe: Recipe
    window_batch: PositiveInt = 4
    largest_component: bool = False
    reasons: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Number of classes with the background, C."""
        return len(self.class_values) + 1

    @property
    def spatial(self) -> tuple[int, ...]:
        """Patch as the network sees it: (z, y, x), or (y, x) for 2D networks."""
        return self.patch if self.network.dimensions == 3 else self.patch[1:]


def has_field(name: str) -> bool:
    """Tell whether a plan has a field, named as in ``"patch"`` or ``"recipe.schedule"``."""
    kind: Any = Plan
    for part in name.split("."):
        field = getattr(kind, "model_fields", {}).get(part)
        if field is None:
            return False
        kind = field.annotation
    return True
