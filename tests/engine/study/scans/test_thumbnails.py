"""Thumbnails show a scan the right way up, in its true proportions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_semiseg.engine.study import Study
from napari_semiseg.engine.study.scans.thumbnails import (
    THUMBNAIL_PIXELS,
    ThumbnailStore,
    make_thumbnail,
)
from napari_semiseg.engine.volumes import Geometry, Volume


def scan(shape=(5, 20, 40), spacing=(1.0, 1.0, 1.0), signs=(1, 1, 1)) -> Volume:
    """Return a scan that is bright at the start of y and x."""
    voxels = np.zeros(shape, np.float32)
    voxels[:, : shape[1] // 2, : shape[2] // 2] = 100
    z, y, x = (step * sign for step, sign in zip(spacing, signs, strict=True))
    return Volume(voxels[None], Geometry(shape, np.diag([x, y, z, 1.0]), None))


def test_the_proportions_are_those_in_millimetres() -> None:
    assert make_thumbnail(scan()).shape == (THUMBNAIL_PIXELS // 2, THUMBNAIL_PIXELS)
    assert make_thumbnail(scan(spacing=(1, 2, 1))).shape == (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS)


@pytest.mark.parametrize(
    ("signs", "bright"),
    [
        ((1, 1, 1), (-1, -1)),  # x runs to the right, y forwards: both ends are turned
        ((1, -1, -1), (0, 0)),  # as most scanners write: nothing is turned
        ((1, 1, -1), (-1, 0)),
    ],
)
def test_anterior_is_up_and_the_patients_left_is_on_the_right(signs, bright) -> None:
    picture = make_thumbnail(scan(signs=signs))
    assert picture.dtype == np.uint8
    assert picture[bright] == 255
    assert (picture > 0).mean() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("value", [0.0, -7.5])
def test_a_scan_of_one_value_is_black(value: float) -> None:
    volume = scan()
    volume.voxels[...] = value
    assert not make_thumbnail(volume).any()


def test_a_thumbnail_is_kept_and_a_damaged_one_is_none(study: Study) -> None:
    store, case = ThumbnailStore(study.cache_folder), study.case("a")
    assert store.load(case) is None
    picture = make_thumbnail(study.scans.read("a"))
    store.save(case, picture)
    np.testing.assert_array_equal(store.load(case), picture)
    assert store.load(study.case("b")) is None
    [file] = Path(study.cache_folder).glob("thumbnails/*.png")
    file.write_bytes(file.read_bytes()[:40])
    assert store.load(case) is None
