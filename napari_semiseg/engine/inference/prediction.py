"""From a scan to its maps on its own grid, and from a run to the maps of many cases.

`predict_case` serves previews during training and everything else; `predict` walks the cases of a
study and stores what it finds. Both are generators that may be left at any yield. Memory stays
bounded: blending is on the model grid, the way back goes slab by slab, and large arrays live in
files.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.class_prototypes import measure_prototypes
from napari_semiseg.engine.inference.maps import EVERY_KIND, MAP_KINDS, CaseMaps, allocate
from napari_semiseg.engine.inference.native_grid import (
    most_probable_classes,
    own_maps,
    real_numbers,
)
from napari_semiseg.engine.inference.stored_maps import store_maps
from napari_semiseg.engine.inference.windows import OVERLAP, slide
from napari_semiseg.engine.methods.assembly import restore
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.parts.signed_distance import exact_distance
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.sampling.patch_cache import cache_cases, prepare_image
from napari_semiseg.engine.study import Case, Study
from napari_semiseg.engine.volumes import Geometry, Volume
from napari_semiseg.engine.volumes.label_editing import keep_largest_component


@dataclass(frozen=True)
class Predicting:
    """A case is under way; ``share`` of it is done, ``index`` of ``total`` cases were before it."""

    case: str
    index: int
    total: int
    share: float


@dataclass(frozen=True, eq=False)
class CasePredicted:
    """A case is done."""

    case: str
    maps: CaseMaps


def predict_case(
    method: Method,
    case: str,
    volume: Volume,
    kinds: Collection[str] = MAP_KINDS,
    started: float | None = None,
    overlap: float = OVERLAP,
    largest_component: bool | None = None,
) -> Generator[float, None, CaseMaps]:
    """Make the maps of one scan.

    Parameters
    ----------
    method : Method
        Trained method.
    case : str
        Name for the result.
    volume : Volume
        The scan on its own grid.
    kinds : collection of str
        Which of `EVERY_KIND`; the prediction always comes.
    started : float, optional
        ``time.perf_counter()`` at which the work on this case began.
    overlap : float
        Share of a window that its neighbour sees again; less is faster and shows seams.
    largest_component : bool, optional
        Keep only the largest connected component of each class; as the plan says by default.

    Yields
    ------
    float
        Share of the windows that are done.

    Returns
    -------
    CaseMaps
        On the scan's own grid.
    """
    started = time.perf_counter() if started is None else started
    grid = ModelGrid.of(volume.geometry, method.plan.spacing)
    image = prepare_image(volume.voxels, method.plan, grid)
    blended = yield from slide(method, image, kinds, overlap)
    values = method.plan.class_values
    prediction = most_probable_classes(grid, blended.probabilities, values)
    if method.plan.largest_component if largest_component is None else largest_component:
        for value in values:
            keep_largest_component(prediction, value).apply(prediction)
    distance = None
    if "signed_distance" in kinds:
        head = _on_scan(grid, blended.signed_distance)
        distance = _signed_distance(method, volume.geometry, prediction, head)
    uncertainty = _on_scan(grid, blended.uncertainty, 0.0, 1.0)
    similarity = _on_scan(grid, blended.similarity, -1.0, 1.0)
    disagreement = _on_scan(grid, blended.disagreement, 0.0, 1.0)
    return CaseMaps(
        case=case,
        geometry=volume.geometry,
        prediction=prediction,
        uncertainty=None if uncertainty is None else uncertainty[0],
        uncertainty_source=method.uncertainty_source,
        signed_distance=distance,
        similarity=similarity,
        disagreement=None if disagreement is None else disagreement[0],
        native=own_maps(grid, blended.native, method.native_maps, values),
        seconds=time.perf_counter() - started,
    )


def _on_scan(
    grid: ModelGrid, maps: np.ndarray | None, low: float = -inf, high: float = inf
) -> np.ndarray | None:
    return None if maps is None else real_numbers(grid, maps, low, high)


def _signed_distance(
    method: Method, geometry: Geometry, prediction: np.ndarray, head: np.ndarray | None
) -> np.ndarray:
    """Distance to each class's boundary in mm: the head's own where it speaks mm, else exact.

    A head without a unit still says where the boundary lies; the distance to that is measured.
    """
    if head is not None and method.signed_distance_reach is not None:
        head *= method.signed_distance_reach
        return head
    values = method.plan.class_values
    distances = allocate((len(values), *geometry.shape), np.float32)
    extent = np.array(geometry.shape) * np.array(geometry.spacing)
    farthest = float(np.linalg.norm(extent))
    for index, value in enumerate(values):
        inside = prediction == value if head is None else head[index] < 0
        distance = exact_distance(inside, geometry.spacing)
        distances[index] = np.clip(distance, -farthest, farthest)
    return distances


def predict(
    study: Study,
    run: str | None = None,
    cases: Sequence[str] | None = None,
    kinds: Collection[str] = EVERY_KIND,
    device: str = "auto",
    store: bool = True,
) -> Generator[Predicting | CasePredicted, None, None]:
    """Predict cases of a study with a trained run.

    Parameters
    ----------
    study : Study
        Open study.
    run : str, optional
        Identifier; the newest with a checkpoint by default.
    cases : sequence of str, optional
        Names; by default every case without a human label that is not held out.
    kinds : collection of str
        Which maps; all by default, the method's own included.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    store : bool
        Keep the maps in the study and mark unlabelled cases as predicted.

    Raises
    ------
    StudyError
        No such run or case, or nothing to predict.
    """
    record = study.run(run)
    names = [case.name for case in study.unlabelled_cases()] if cases is None else list(cases)
    if not names:
        raise StudyError(
            f"Study “{study.name}” has no unlabelled scan to predict; name the cases to predict."
        )
    chosen = [study.case(name) for name in names]
    method, _ = restore(record.folder, describe_machine(device))
    if method.prototypes is None and "similarity" in kinds:
        # A run that was killed never measured them; the labelled cases of now serve as well.
        labelled = cache_cases(study, method.plan, study.labelled_cases(), labels="all")
        method.prototypes = measure_prototypes(method, list(labelled))
    for index, case in enumerate(chosen):
        maps = yield from predict_of_many(method, study, case, index, len(chosen), kinds)
        if store:
            store_maps(study, record.identifier, maps)
        yield CasePredicted(case.name, maps)


def predict_of_many(
    method: Method,
    study: Study,
    case: Case,
    index: int,
    total: int,
    kinds: Collection[str],
    largest_component: bool | None = None,
) -> Generator[Predicting, None, CaseMaps]:
    """Make the maps of one of several cases, telling how far the whole is."""
    started = time.perf_counter()
    volume = study.volume(case.name)
    work = predict_case(
        method, case.name, volume, kinds, started, largest_component=largest_component
    )
    while True:
        try:
            share = next(work)
        except StopIteration as finished:
            return finished.value
        yield Predicting(case.name, index, total, share)
