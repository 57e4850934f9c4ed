from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import Study


def test_a_map_comes_back_with_its_attributes(study: Study) -> None:
    run = study.runs.create("dtc", {}, 0)
    distance = np.random.default_rng(0).normal(size=(2, 6, 7, 8)).astype(np.float32)
    study.runs.maps.save(run, "a", "signed_distance", distance, unit="mm", seconds=np.float32(0.5))
    stored = study.runs.maps.load(run.identifier, "a", "signed_distance")
    np.testing.assert_array_equal(stored.array[...], distance)
    assert stored.array.dtype == np.float32
    assert stored.attributes == {"unit": "mm", "seconds": 0.5}
    assert (run.folder / "maps" / "1" / "signed_distance.zarr").is_dir()


def test_a_map_replaces_the_former_of_its_kind(study: Study, drawn: np.ndarray) -> None:
    run = study.runs.create("dtc", {}, 0)
    study.runs.maps.save(run, "a", "prediction", drawn)
    study.runs.maps.save(run, "a", "prediction", drawn * 0)
    study.runs.maps.save(run, "a", "uncertainty", drawn / 2)
    assert study.runs.maps.load(run, "a", "prediction").array[...].max() == 0
    assert study.runs.maps.kinds(run, "a") == ["prediction", "uncertainty"]
    assert len(list((run.folder / "maps" / "1").iterdir())) == 2


def test_a_map_of_several_chunks_comes_back_whole(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_semiseg.engine.study.storage.CHUNK_BYTES", 100)
    run = study.runs.create("dtc", {}, 0)
    values = np.arange(3 * 6 * 7 * 8, dtype=np.float32).reshape(3, 6, 7, 8)
    study.runs.maps.save(run, "a", "similarity", values)
    stored = study.runs.maps.load(run, "a", "similarity")
    assert stored.array.chunks == (1, 1, 7, 8)
    np.testing.assert_array_equal(stored.array[...], values)


@pytest.mark.parametrize("shape", [(25, 7, 8), (3, 25, 7, 8)])
@pytest.mark.parametrize("chunk_slices", [1, 4])
def test_a_map_that_is_written_slab_by_slab_has_the_same_chunks_and_values(
    study: Study, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], chunk_slices: int
) -> None:
    monkeypatch.setattr(
        "napari_semiseg.engine.study.storage.CHUNK_BYTES", chunk_slices * 7 * 8 * 4 + 9
    )
    run = study.runs.create("dtc", {}, 0)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    study.runs.maps.save(run, "a", "whole", values)
    monkeypatch.setattr("napari_semiseg.engine.study.runs.maps.SLAB_BYTES", 2000)
    study.runs.maps.save(run, "a", "slabs", values, unit="mm")
    whole = study.runs.maps.load(run, "a", "whole").array
    stored = study.runs.maps.load(run, "a", "slabs")
    assert stored.array.chunks == whole.chunks
    assert stored.attributes == {"unit": "mm"}
    np.testing.assert_array_equal(stored.array[...], values)


def test_a_disk_that_fills_up_between_two_slabs_leaves_the_former_map(
    study: Study, drawn: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = study.runs.create("dtc", {}, 0)
    study.runs.maps.save(run, "a", "prediction", drawn)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_semiseg.engine.study.storage.CHUNK_BYTES", 1)
    monkeypatch.setattr("napari_semiseg.engine.study.runs.maps.SLAB_BYTES", 1)
    with monkeypatch.context() as patch:
        patch.setattr("zarr.Array.append", full)
        with pytest.raises(StudyError, match="is full"):
            study.runs.maps.save(run, "a", "prediction", drawn * 0)
    np.testing.assert_array_equal(study.runs.maps.load(run, "a", "prediction").array[...], drawn)
    assert len(list((run.folder / "maps" / "1").iterdir())) == 1


def test_a_map_that_was_never_predicted_is_told(study: Study) -> None:
    run = study.runs.create("dtc", {}, 0)
    assert study.runs.maps.kinds(run, "a") == []
    with pytest.raises(StudyError, match="predict the case"):
        study.runs.maps.load(run, "a", "prediction")


def test_a_kind_that_is_no_word_is_refused(study: Study, drawn: np.ndarray) -> None:
    run = study.runs.create("dtc", {}, 0)
    with pytest.raises(StudyError, match="small letters"):
        study.runs.maps.save(run, "a", "../prediction", drawn)


def test_a_disk_that_refuses_leaves_the_former_map(
    study: Study, drawn: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = study.runs.create("dtc", {}, 0)
    study.runs.maps.save(run, "a", "prediction", drawn)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("zarr.create_array", full)
        with pytest.raises(StudyError, match="is full"):
            study.runs.maps.save(run, "a", "prediction", drawn * 0)
    np.testing.assert_array_equal(study.runs.maps.load(run, "a", "prediction").array[...], drawn)
    assert len(list((run.folder / "maps" / "1").iterdir())) == 1
