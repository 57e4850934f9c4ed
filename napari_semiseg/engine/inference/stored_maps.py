"""The maps of a case in the study: kept after a prediction, read again for the viewer.

What a map of a method's own shows is stored beside it, so that it can be shown where that method is
not installed. `predict` stores and the desk reads, both on a worker's thread.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict

import numpy as np

from napari_semiseg.engine.inference.maps import MAPS, CaseMaps, NativeArray
from napari_semiseg.engine.methods.native_maps import NativeMap
from napari_semiseg.engine.stored import from_stored
from napari_semiseg.engine.study import CaseState, StoredMap, Study
from napari_semiseg.engine.volumes.large_arrays import allocate, release


def store_maps(study: Study, run: str, maps: CaseMaps) -> None:
    """Keep the maps of a case in the study; an unlabelled case becomes a predicted one."""
    for kind, array in maps.arrays().items():
        if kind in maps.native:
            attributes = asdict(maps.native[kind].description)
        else:
            attributes = {"source": maps.uncertainty_source} if MAPS[kind].sourced else {}
        study.runs.maps.save(run, maps.case, kind, array, **attributes)
    if study.case(maps.case).state in (CaseState.UNLABELLED, CaseState.REJECTED):
        study.mark(maps.case, CaseState.PREDICTED)


def load_maps(study: Study, run: str, case: str) -> CaseMaps:
    """Read the maps that a run has of a case.

    Raises
    ------
    StudyError
        The run has no prediction of the case.
    """
    stored = {
        kind: study.runs.maps.load(run, case, kind) for kind in study.runs.maps.kinds(run, case)
    }
    stored["prediction"] = study.runs.maps.load(run, case, "prediction")
    sourced = [kind for kind, item in MAPS.items() if item.sourced and kind in stored]
    return CaseMaps(
        case,
        study.case(case).geometry,
        {kind: _read(stored[kind]) for kind in MAPS if kind in stored},
        {
            kind: NativeArray(_read(item), from_stored(NativeMap, item.attributes))
            for kind, item in stored.items()
            if kind not in MAPS and item.attributes.get("key") == kind
        },
        stored[sourced[0]].attributes.get("source", "") if sourced else "",
    )


def _read(stored: StoredMap) -> np.ndarray:
    """Read a map, slab by slab where it goes to a file because it is large."""
    array = allocate(stored.array.shape, stored.array.dtype)
    channels: list[tuple[int, ...]] = [()] if array.ndim < 4 else [(n,) for n in range(len(array))]
    rows = stored.array.chunks[-3]
    for channel, start in itertools.product(channels, range(0, array.shape[-3], rows)):
        part: tuple[int | slice, ...] = (*channel, slice(start, start + rows))
        array[part] = stored.array[part]
        release(array)
    return array
