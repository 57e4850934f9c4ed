"""The layers of a comparison: outlines of two runs' predictions, and where they differ.

Each run has a colour of its own, which the Compare page shows beside its letter and which no class
has by default, because outlines of both lie over the classes' colours of the label. Plain values for
`layers`; no viewer is touched.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_semiseg.engine.inference.maps import MAPS
from napari_semiseg.engine.study import ClassInfo
from napari_semiseg.gui.compare.figures import LETTERS
from napari_semiseg.gui.compare.pairs import Pair
from napari_semiseg.gui.viewer.colours import (
    PREDICTION_OPACITY,
    class_features,
    map_colormap,
)
from napari_semiseg.gui.viewer.layer_data import LayerData, spatial_arguments, tag
from napari_semiseg.gui.viewer.split_view import name_for_view

RUN_COLOURS = ("#ff3ea5", "#a6d40d", "#648fff", "#fe6100", "#8f6bf2", "#9aa0a8")
"""One for each of `LETTERS`; neighbours differ in brightness as well as in hue."""

DISAGREEMENT_OPACITY = 0.8


def comparison_cells(
    pair: Pair,
    letters: Sequence[int],
    names: Sequence[str],
    classes: Sequence[ClassInfo],
    disagreement: bool,
    side_by_side: bool,
) -> list[list[LayerData]]:
    """Return the layers of each of the two runs, from the lowest to the uppermost.

    Parameters
    ----------
    letters : sequence of int
        Number of each run's letter and colour.
    names : sequence of str
        What each run is called.
    disagreement : bool
        Whether the differences show.
    side_by_side : bool
        Whether each run has a view of its own, and so its own layer of the differences.
    """
    runs = zip(pair.predictions, pair.runs, letters, names, strict=True)
    cells = [[_outlines(pair, *run, classes)] for run in runs]
    if disagreement:
        # uppermost, because outlines would hide differences that are a voxel wide; the first run's
        # layers lie above the other's where both are on one scan
        differences = _differences(pair, [LETTERS[letter] for letter in letters], classes)
        for view, cell in enumerate(cells if side_by_side else cells[:1], start=1):
            cell.append(name_for_view(differences, view) if side_by_side else differences)
    return cells


def _outlines(
    pair: Pair,
    prediction: np.ndarray,
    run: str,
    letter: int,
    name: str,
    classes: Sequence[ClassInfo],
) -> LayerData:
    from napari.utils.colormaps import DirectLabelColormap

    colours: dict[int | None, str] = {None: RUN_COLOURS[letter], 0: "transparent"}
    geometry = pair.case.geometry
    arguments = {
        "name": f"{LETTERS[letter]} · {name}",
        "opacity": PREDICTION_OPACITY,
        "colormap": DirectLabelColormap(color_dict=colours),
        "features": class_features(classes),
        "metadata": tag("prediction", pair.case.name, geometry, run=run),
        **spatial_arguments(geometry),
    }
    return prediction, arguments, "labels"


def _differences(pair: Pair, letters: Sequence[str], classes: Sequence[ClassInfo]) -> LayerData:
    look, geometry = MAPS["disagreement"], pair.case.geometry
    value = pair.differences.structure
    structure = next((item.name for item in classes if item.value == value), "")
    of = f" · {structure}" if structure else ""
    arguments = {
        "name": f"{look.title} {' and '.join(letters)}{of}",
        "colormap": map_colormap(look),
        "contrast_limits": look.limits,
        "blending": "translucent",
        "opacity": DISAGREEMENT_OPACITY,
        "metadata": tag("disagreement", pair.case.name, geometry, runs=list(pair.runs)),
        **spatial_arguments(geometry),
    }
    arguments["metadata"]["semiseg"]["class"] = value
    return pair.differences.voxels, arguments, "image"
