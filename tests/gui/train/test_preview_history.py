from __future__ import annotations

import numpy as np

from napari_semiseg.engine.inference.maps import CaseMaps
from napari_semiseg.engine.volumes import Geometry
from napari_semiseg.gui.train.preview_history import PreviewHistory, pack, unpack

GEOMETRY = Geometry((4, 5, 6), np.diag([1.0, 1.0, 2.0, 1.0]), None)


def maps(case="one", seed=0, uncertainty=True):
    random = np.random.default_rng(seed)
    shared = {"prediction": random.integers(0, 3, GEOMETRY.shape).astype(np.uint8)}
    if uncertainty:
        shared["uncertainty"] = random.random(GEOMETRY.shape, np.float32)
    return CaseMaps(case, GEOMETRY, shared, uncertainty_source="four passes")


def shots(*steps, case="one"):
    return [pack(maps(case, step), step) for step in steps]


def steps_of(film, case="one"):
    return [each.step for each in film.of(case)]


def test_what_is_packed_comes_back():
    original = maps()
    back = unpack(pack(original, 40))
    np.testing.assert_array_equal(back.prediction, original.prediction)
    assert np.abs(back.uncertainty - original.uncertainty).max() <= 1 / 510 + 1e-6
    assert (back.case, back.uncertainty_source) == ("one", "four passes")
    assert back.geometry is GEOMETRY
    assert unpack(pack(maps(uncertainty=False), 1)).uncertainty is None


def test_a_film_is_bounded_and_spreads_over_the_run():
    film = PreviewHistory(most_a_case=5)
    for shot in shots(*range(1, 101)):
        film.add(shot)
    kept = steps_of(film)
    assert len(kept) == 5
    assert (kept[0], kept[-1]) == (1, 100)
    assert max(np.diff(kept)) <= 64


def test_a_film_is_bounded_in_bytes():
    first, *others = shots(1, 2, 3, 4)
    film = PreviewHistory(most_bytes=2 * first.size + 40)
    for shot in (first, *others, *shots(5, case="two")):
        film.add(shot)
    assert film.size <= 2 * first.size + 40
    assert film.of("two")


def test_one_snapshot_that_is_too_large_is_not_kept():
    film = PreviewHistory(most_bytes=10)
    film.add(shots(1)[0])
    assert film.of("one") == []
    assert film.size == 0


def test_cases_are_apart_and_a_step_is_kept_once():
    film = PreviewHistory()
    for shot in (*shots(2, 1, 2), *shots(7, case="two")):
        film.add(shot)
    assert steps_of(film) == [1, 2]
    assert steps_of(film, "two") == [7]
    assert film.of(None) == []
    film.clear()
    assert film.size == 0
