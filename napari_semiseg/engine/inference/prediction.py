"""From a scan to its maps on its own grid, and from a run to the maps of many cases.

`predict_case` serves previews during training and everything else; `predict` walks the cases of a
study and stores what it finds. Both are generators that may be left at any yield. Memory stays
bounded whatever the scan's size: everything goes slab by slab along the slices of its file, from the
model grid and the windows back to the scan's own grid, and large arrays live in files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_semiseg.engine.drained import Drained
from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.air import AirBlocks
from napari_semiseg.engine.inference.class_prototypes import measure_prototypes
from napari_semiseg.engine.inference.distance_maps import fill_distances
from napari_semiseg.engine.inference.maps import MAP_KINDS, CaseMaps, every_kind
from napari_semiseg.engine.inference.native_grid import NativeMaps
from napari_semiseg.engine.inference.stored_maps import store_maps
from napari_semiseg.engine.inference.windows import OVERLAP, blend
from napari_semiseg.engine.methods.assembly import restore
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.networks.folding import fold_batch_normalisation
from napari_semiseg.engine.planning.freed_memory import freed_memory_kept
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.sampling.model_image import model_image
from napari_semiseg.engine.sampling.patch_cache import cache_cases
from napari_semiseg.engine.study import Case, Study
from napari_semiseg.engine.volumes import Volume
from napari_semiseg.engine.volumes.label_editing import keep_largest_component
from napari_semiseg.engine.volumes.large_arrays import allocate, release


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
    skip_air: bool = True,
) -> Generator[float, None, CaseMaps]:
    """Make the maps of one scan.

    Parameters
    ----------
    kinds : collection of str
        Which of `every_kind`; the prediction always comes.
    started : float, optional
        ``time.perf_counter()`` at which the work on this case began.
    overlap : float
        Share of a window that its neighbour sees again; less is faster and shows seams.
    largest_component : bool, optional
        Keep only the largest connected component of each class; as the plan says by default.
    skip_air : bool
        Take windows in the air around the patient for background without looking at them.

    Returns
    -------
    CaseMaps
        On the scan's own grid.
    """
    started = time.perf_counter() if started is None else started
    plan = method.plan
    grid = ModelGrid.of(volume.geometry, plan.spacing)
    image = model_image(volume.voxels, plan, grid)
    air = AirBlocks.of(image) if skip_air else None
    native = NativeMaps(grid, plan.class_values, method.native_maps)
    with freed_memory_kept(method.fabric.device.type):
        for rows in blend(method, image, kinds, overlap, grid.slice_axis, air):
            native.add(rows)
            yield rows.share
    prediction = native.arrays["prediction"]
    if plan.largest_component if largest_component is None else largest_component:
        for value in plan.class_values:
            keep_largest_component(prediction, value).apply(prediction)
    of_the_case = {
        key: make(method, volume.geometry.spacing, native)
        for key, make in OF_A_CASE.items()
        if key in kinds
    }
    return CaseMaps(
        case,
        volume.geometry,
        native.shared_maps() | of_the_case,
        native.own_maps(),
        method.uncertainty_source,
        time.perf_counter() - started,
    )


def _signed_distance(method: Method, spacing: Sequence[float], native: NativeMaps) -> np.ndarray:
    """Distance to each class's boundary in mm: the head's own where it speaks mm, else exact.

    A head without a unit still says where the boundary lies; the distance to that is measured.
    """
    prediction, head = native.arrays["prediction"], native.arrays.get("signed_distance")
    if head is not None and method.signed_distance_reach is not None:
        for channel in head:
            channel *= method.signed_distance_reach
            release(channel)
        return head
    values = method.plan.class_values
    distances = allocate((len(values), *prediction.shape), np.float32)
    for index, value in enumerate(values):

        def inside(rows: slice, index: int = index, value: int = value) -> np.ndarray:
            return prediction[rows] == value if head is None else head[index, rows] < 0

        fill_distances(distances[index], inside, spacing)
        release(distances)
        if head is not None:
            release(head)
    return distances


OF_A_CASE: dict[str, Callable[[Method, Sequence[float], NativeMaps], np.ndarray]] = {
    "signed_distance": _signed_distance,
}
"""How maps of `MAPS` are made that need the whole scan: of the method, the voxel size (z, y, x) in mm
and the maps of its windows."""


def predict(
    study: Study,
    run: str | None = None,
    cases: Sequence[str] | None = None,
    kinds: Collection[str] | None = None,
    device: str = "auto",
    store: bool = True,
    overlap: float = OVERLAP,
    skip_air: bool = True,
) -> Generator[Predicting | CasePredicted, None, None]:
    """Predict cases of a study with a trained run.

    Parameters
    ----------
    run : str, optional
        Identifier; the newest with a checkpoint by default.
    cases : sequence of str, optional
        Names; by default every case without a human label that is not held out.
    kinds : collection of str, optional
        Which of `every_kind`, which is the default.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    store : bool
        Keep the maps in the study and mark unlabelled cases as predicted.
    overlap : float
        Share of a window that its neighbour sees again; less is faster and shows seams.
    skip_air : bool
        Take windows in the air around the patient for background without looking at them.

    Raises
    ------
    StudyError
        No such run or case, or nothing to predict.
    """
    kinds = every_kind() if kinds is None else kinds
    record = study.runs.get(run)
    names = [case.name for case in study.unlabelled_cases()] if cases is None else list(cases)
    if not names:
        raise StudyError(
            f"Study “{study.name}” has no unlabelled scan to predict; name the cases to predict."
        )
    chosen = [study.case(name) for name in names]
    method = method_to_ask(record.folder, device)
    if method.prototypes is None and "similarity" in kinds:
        # A run that was killed never measured them; the labelled cases of now serve as well.
        labelled = cache_cases(study, method.plan, study.labelled_cases(), labels="all")
        method.prototypes = measure_prototypes(method, list(labelled))
    for index, case in enumerate(chosen):
        maps = yield from predict_of_many(
            method, study, case, index, len(chosen), kinds, overlap=overlap, skip_air=skip_air
        )
        if store:
            store_maps(study, record.identifier, maps)
        yield CasePredicted(case.name, maps)


def method_to_ask(folder: Path, device: str = "auto") -> Method:
    """Restore the method of a run for answering only, which is quicker; it cannot be trained on.

    Parameters
    ----------
    folder : Path
        The run's folder.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises
    ------
    StudyError
        There is no checkpoint, or it cannot be read.
    """
    method, _ = restore(folder, describe_machine(device))
    for network in method.networks().values():
        fold_batch_normalisation(network)
    return method


def predict_of_many(
    method: Method,
    study: Study,
    case: Case,
    index: int,
    total: int,
    kinds: Collection[str],
    largest_component: bool | None = None,
    overlap: float = OVERLAP,
    skip_air: bool = True,
) -> Generator[Predicting, None, CaseMaps]:
    """Make the maps of one of several cases, telling how far the whole is."""
    started = time.perf_counter()
    volume = study.scans.read(case.name)
    work = Drained(
        predict_case(
            method, case.name, volume, kinds, started, overlap, largest_component, skip_air
        )
    )
    for share in work:
        yield Predicting(case.name, index, total, share)
    return work.result
