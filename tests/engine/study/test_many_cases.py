"""What does not grow with the number of cases: queries, writes and open files."""

import numpy as np
import pytest
import torch

from napari_semiseg.cli.progress import status_of
from napari_semiseg.engine.planning.fingerprint import take_fingerprint
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.planning.planner import make_plan
from napari_semiseg.engine.sampling import batches, patch_cache
from napari_semiseg.engine.sampling.batches import BatchSampler
from napari_semiseg.engine.sampling.patch_cache import cache_cases
from napari_semiseg.engine.study import Study, overview
from tests.measurements.measure_large_study import made_up_study

FEW, MANY = 3, 130


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    return {count: made_up_study(folder, count) for count in (FEW, MANY)}


def statements_of(path, work):
    with Study.open(path) as study:
        heard = []
        study._records._connection().set_trace_callback(heard.append)
        work(study)
        return len(heard)


def test_a_list_of_many_cases_takes_as_many_queries_as_one_of_few(studies):
    counts = [statements_of(path, status_of) for path in studies.values()]
    assert counts[0] == counts[1]


def test_scans_and_grids_are_read_out_of_the_records_once(studies, monkeypatch):
    with Study.open(studies[MANY]) as study:
        before = study.cases()

        def never(*arguments):
            raise AssertionError("it was read again")

        monkeypatch.setattr("napari_semiseg.engine.study.cases.json.loads", never)
        after = study.cases()
    assert [case.name for case in after] == [case.name for case in before]
    assert all(a.geometry is b.geometry for a, b in zip(after, before, strict=True))


def test_an_overview_is_written_a_few_times_and_never_when_nothing_is_new(studies, monkeypatch):
    written = []
    original = overview.write_text
    monkeypatch.setattr(
        overview, "write_text", lambda path, text: (written.append(path), original(path, text))
    )
    with Study.open(studies[MANY]) as study:
        assert len(list(overview.overview_cases(study))) == MANY
        assert 1 <= len(written) <= 2 * MANY / overview.SAVED_EVERY + 1
        written.clear()
        assert len(list(overview.overview_cases(study))) == MANY
        assert written == []


@pytest.fixture(scope="module")
def sampled(studies):
    """A sampler of many cases."""
    with Study.open(studies[MANY]) as study:
        plan = make_plan(take_fingerprint(study), describe_machine("cpu"), (1,))
        labelled = list(cache_cases(study, plan, study.labelled_cases(), "all"))
        unlabelled = list(cache_cases(study, plan, study.unlabelled_cases(), "none"))
    return BatchSampler(labelled, unlabelled, plan, 0, torch.device("cpu"))


@pytest.mark.trains
def test_few_files_stay_open_and_crops_come_from_all(sampled, monkeypatch):
    opened, original = [], np.load
    monkeypatch.setattr(
        patch_cache.np, "load", lambda *a, **k: (opened.append(a), original(*a, **k))[1]
    )
    held = [case for case in sampled.unlabelled if isinstance(case._image, np.ndarray)]
    assert len(held) == patch_cache.MOST_OPEN < len(sampled.unlabelled)
    drawn = {case for _ in range(MANY) for case in sampled.draw(1, 1).cases[1:]}
    assert len(drawn) == MANY - 1
    assert len(opened) <= MANY  # one a crop, and only of those that are not held


def test_a_pass_through_the_cases_is_shuffled_once(sampled, monkeypatch):
    made, original = [], np.random.default_rng
    monkeypatch.setattr(
        batches.np.random, "default_rng", lambda seed: (made.append(seed), original(seed))[1]
    )
    sampled._orders.clear()
    sampled.load_state_dict({"labelled": 0, "unlabelled": 0})
    for _ in range(20):
        sampled.draw(0, 1)
    assert len(made) == 1


def test_a_file_that_goes_missing_meanwhile_is_named_in_a_sentence(studies):
    with Study.open(studies[MANY]) as study:
        plan = make_plan(take_fingerprint(study), describe_machine("cpu"), (1,))
        last = list(cache_cases(study, plan, study.unlabelled_cases(), "none"))[-1]
    last._image.rename(last._image.with_suffix(".away"))
    try:
        with pytest.raises(
            patch_cache.StudyError, match=r"has lost the file image-.*resume the run"
        ):
            last.image  # noqa: B018
    finally:
        last._image.with_suffix(".away").rename(last._image)
