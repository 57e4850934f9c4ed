"""The two presets: `modern`, which trains best in the minutes a clinician has, and `paper`.

A preset is a network, a recipe and a rule for the patch. Both serve every method; a supervised twin
always has the preset of the method that it is compared with.
"""

from __future__ import annotations

from typing import Any

from napari_semiseg.engine.planning.plan import Preset, Recipe

MODERN = Recipe(
    optimiser="adamw",
    learning_rate=2e-3,
    weight_decay=1e-4,
    schedule="cosine",
    gradient_clip=5.0,
    average_decay=0.99,
    warm_start_share=0.35,
    augmentation="strong",
    labelled=1,
    unlabelled=1,
    labelled_alone=2,
    foreground_share=0.33,
)

PAPER = Recipe(
    optimiser="sgd",
    learning_rate=0.01,
    weight_decay=1e-4,
    schedule="steps",
    gradient_clip=None,
    average_decay=None,
    warm_start_share=0.0,
    augmentation="mirror",
    labelled=2,
    unlabelled=2,
    labelled_alone=4,
    foreground_share=0.0,
)

PAPER_UNET: dict[str, Any] = {
    "network.name": "paper-unet",
    "network.normalisation": "instance",
    "recipe.schedule": "poly",
}
"""What methods override whose papers train the 3D U-Net of the BraTS experiments (spec §2.3)."""


def recipe_of(preset: Preset, is_ct: bool) -> Recipe:
    """Return the recipe of ``preset``; the papers leave CT unturned, so only noise is added there."""
    if preset == "modern":
        return MODERN
    return PAPER.model_copy(update={"augmentation": "noise"}) if is_ct else PAPER
