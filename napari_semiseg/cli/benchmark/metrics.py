"""Section (e): the metrics of a case, beside MONAI's: Dice, HD95 and average surface distance."""

from __future__ import annotations

import numpy as np
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
)

from napari_semiseg.cli.benchmark.generated import ball
from napari_semiseg.cli.benchmark.section import Section, competition
from napari_semiseg.cli.benchmark.timing import seconds_in_turn
from napari_semiseg.cli.benchmark.workload import Workload, in_words
from napari_semiseg.engine.evaluation.metrics import dice_per_class, measure_case

SPACING = (1.0, 1.0, 1.0)
SHIFT = 2.0  # voxels between prediction and reference


def measure_metrics(workload: Workload) -> Section:
    """Time the metrics of a generated prediction and reference as large as a scan."""
    reference = ball(workload.scan).astype(np.uint8)
    prediction = ball(workload.scan, shift=SHIFT).astype(np.uint8)
    works = {
        "MONAI: Dice, HD95, average surface distance": lambda: monai_metrics(prediction, reference),
        "ours: Dice, Jaccard, HD95, ASD, ASSD, volumes": lambda: measure_case(
            prediction, reference, (1,), SPACING
        ),
        "ours: Dice alone (during training)": lambda: dice_per_class(prediction, reference, (1,)),
    }
    theirs, ours = (
        monai_metrics(prediction, reference),
        measure_case(prediction, reference, (1,), SPACING).classes[1],
    )
    remarks = (
        f"A ball moved by {SHIFT:g} voxels along each axis, in {in_words(workload.scan)} voxels; "
        f"medians of {workload.repeats} runs of each, in turn.",
        f"Dice {theirs['dice']:.3f} (MONAI) and {ours['dice']:.3f} (ours); HD95 "
        f"{theirs['hd95']:.2f} and {ours['hd95']:.2f} mm; average distance of "
        f"the prediction's surface {theirs['asd']:.2f} and {ours['asd']:.2f} mm.",
    )
    rows = competition(seconds_in_turn(works, workload.repeats), unit=1e-3, column="ms")
    return Section("Metrics of a case", rows, remarks)


def monai_metrics(prediction: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Measure one foreground class with MONAI, distances in mm."""
    made, truth = (
        torch.from_numpy(np.stack([label == 0, label == 1]))[None].float()
        for label in (prediction, reference)
    )
    return {
        "dice": compute_dice(made, truth, include_background=False).item(),
        "hd95": compute_hausdorff_distance(made, truth, percentile=95, spacing=SPACING).item(),
        "asd": compute_average_surface_distance(made, truth, spacing=SPACING).item(),
    }
