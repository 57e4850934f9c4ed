"""Small pictures of scans, kept in the study's cache so that a long list of cases shows at once.

The overview of the study makes and reads them, on a worker's thread. They never leave the study: an
export carries no picture of a patient.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from napari_semiseg.engine.study.cases import Case
from napari_semiseg.engine.volumes.geometry import Geometry
from napari_semiseg.engine.volumes.volume import Volume

THUMBNAIL_PIXELS = 64
"""Length of the longer side of a thumbnail."""

GREY_PERCENTILES = (0.5, 99.5)
"""Grey levels outside these percentiles of the slice are black or white."""

_POINTS_UP = "SA"
_POINTS_LEFT = "RA"


def make_thumbnail(volume: Volume) -> np.ndarray:
    """Return the middle slice of a scan as a small grey picture, the right way up.

    Parameters
    ----------
    volume : Volume
        The scan; its first channel is taken.

    Returns
    -------
    ndarray, shape (rows, columns), uint8
        The middle slice along z in its true proportions, the longer side `THUMBNAIL_PIXELS` long;
        anterior and superior point up and the patient's left is on the right, as in the viewer.
    """
    geometry = volume.geometry
    middle = volume.voxels[0, geometry.shape[0] // 2].astype(np.float32)
    low, high = np.percentile(middle, GREY_PERCENTILES)
    if high <= low:
        low, high = float(middle.min()), float(middle.max())
    grey = np.clip((middle - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    picture = Image.fromarray(np.round(255 * _turned(grey, geometry)).astype(np.uint8))
    _, height_mm, width_mm = (
        length * step for length, step in zip(geometry.shape, geometry.spacing, strict=True)
    )
    scale = THUMBNAIL_PIXELS / max(height_mm, width_mm)
    size = (max(1, round(width_mm * scale)), max(1, round(height_mm * scale)))
    return np.asarray(picture.resize(size, Image.Resampling.BOX))


def _turned(slice_: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return a slice (y, x) as radiologists look at it."""
    codes = geometry.orientation  # of the index axes x, y, z
    rows = slice(None, None, -1 if codes[1] in _POINTS_UP else 1)
    columns = slice(None, None, -1 if codes[0] in _POINTS_LEFT else 1)
    return slice_[rows, columns]


class ThumbnailStore:
    """The thumbnails of a study, PNG files that may be deleted at any time.

    Parameters
    ----------
    cache_folder : Path
        ``cache`` inside the study folder.
    """

    def __init__(self, cache_folder: Path) -> None:
        self._folder = cache_folder / "thumbnails"

    def load(self, case: Case) -> np.ndarray | None:
        """Return the thumbnail of a case, (rows, columns) uint8; None where there is none."""
        try:
            with Image.open(self._file(case)) as picture:
                return np.asarray(picture.convert("L"))
        except (OSError, SyntaxError):  # Pillow tells of a broken PNG with either
            return None  # a cache that is damaged is made anew

    def save(self, case: Case, thumbnail: np.ndarray) -> None:
        """Keep the thumbnail of a case.

        Parameters
        ----------
        thumbnail : ndarray, shape (rows, columns), uint8
            What `make_thumbnail` returned.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._file(case)
        staged = file.with_suffix(".staged")
        Image.fromarray(thumbnail).save(staged, format="PNG")
        staged.replace(file)

    def _file(self, case: Case) -> Path:
        # named by content: a case with a new scan never shows the picture of the former one
        return self._folder / f"{case.identifier}-{case.content_hash[:16]}.png"
