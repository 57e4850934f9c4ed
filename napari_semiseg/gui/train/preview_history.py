"""Past previews of a run, kept small, so that one can look back at how it learnt.

A past preview has the prediction and the uncertainty as compressed bytes; when there are too many,
those go whose neighbours are nearest, so that those left spread evenly over the run. `pack` and
`unpack` take time and run on a worker's thread; a `PreviewHistory` belongs to the main thread.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_semiseg.engine.volumes import Geometry

if TYPE_CHECKING:
    from napari_semiseg.engine.inference.maps import CaseMaps

MOST_A_CASE = 24
MOST_BYTES = 256 * 2**20
FASTEST = 1
"""Level of zlib: a prediction shrinks a hundredfold even so."""
LEVELS = 255


@dataclass(frozen=True, eq=False)
class PastPreview:
    """Prediction and uncertainty of one case at one step.

    Attributes
    ----------
    case : str
        Name of the case.
    step : int
        Training step of the weights.
    geometry : Geometry
        The scan's grid.
    prediction : bytes
        Compressed (z, y, x) uint8 class values.
    uncertainty : bytes or None
        Compressed (z, y, x) uint8, 0…255 for 0…1.
    source : str
        Whose disagreement the uncertainty is.
    """

    case: str
    step: int
    geometry: Geometry
    prediction: bytes
    uncertainty: bytes | None
    source: str

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self.prediction) + len(self.uncertainty or b"")


def pack(maps: CaseMaps, step: int) -> PastPreview:
    """Make a preview of the maps of a run in training small; an uncertainty loses at most 1/510."""
    uncertainty = None
    if maps.uncertainty is not None:
        levels = np.clip(np.rint(maps.uncertainty * LEVELS), 0, LEVELS).astype(np.uint8)
        uncertainty = _squeezed(levels)
    prediction = _squeezed(maps.prediction.astype(np.uint8))
    return PastPreview(
        maps.case, step, maps.geometry, prediction, uncertainty, maps.uncertainty_source
    )


def unpack(preview: PastPreview) -> CaseMaps:
    """Return the maps of a preview; those that it does not keep are missing."""
    from napari_semiseg.engine.inference.maps import CaseMaps

    shape = preview.geometry.shape
    shared = {"prediction": _loosened(preview.prediction, shape)}
    if preview.uncertainty is not None:
        levels = _loosened(preview.uncertainty, shape)
        shared["uncertainty"] = levels.astype(np.float32) / LEVELS
    return CaseMaps(preview.case, preview.geometry, shared, uncertainty_source=preview.source)


class PreviewHistory:
    """The previews of one run, bounded in number and size.

    Parameters
    ----------
    most_a_case : int
        Previews of one case, at least 2.
    """

    def __init__(self, most_a_case: int = MOST_A_CASE, most_bytes: int = MOST_BYTES) -> None:
        self._most_a_case = most_a_case
        self._most_bytes = most_bytes
        self._of_case: dict[str, list[PastPreview]] = {}

    def of(self, case: str | None) -> list[PastPreview]:
        """Return the previews of a case, oldest first."""
        return list(self._of_case.get(case or "", ()))

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return sum(each.size for shots in self._of_case.values() for each in shots)

    def add(self, preview: PastPreview) -> None:
        """Keep a preview; others go where there are too many."""
        shots = self._of_case.setdefault(preview.case, [])
        shots[:] = [each for each in shots if each.step != preview.step]
        shots.append(preview)
        shots.sort(key=lambda each: each.step)
        if len(shots) > self._most_a_case:
            _thin(shots)
        while self.size > self._most_bytes and self._of_case:
            case, heaviest = max(
                self._of_case.items(), key=lambda item: sum(each.size for each in item[1])
            )
            _thin(heaviest)
            if not heaviest:
                del self._of_case[case]

    def clear(self) -> None:
        """Forget all previews."""
        self._of_case.clear()


def _thin(shots: list[PastPreview]) -> None:
    """Drop the one between the two nearest neighbours; of two or fewer the oldest."""
    if len(shots) <= 2:
        shots.pop(0)
        return
    steps = np.array([each.step for each in shots])
    shots.pop(1 + int(np.argmin(steps[2:] - steps[:-2])))


def _squeezed(voxels: np.ndarray) -> bytes:
    return zlib.compress(np.ascontiguousarray(voxels).data, FASTEST)


def _loosened(squeezed: bytes, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(zlib.decompress(squeezed), np.uint8).reshape(shape)
