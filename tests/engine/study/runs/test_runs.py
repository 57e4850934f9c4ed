from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import CaseState, Study
from napari_semiseg.engine.study.runs import locks


def test_a_run_keeps_settings_seed_versions_and_the_labels_of_its_start(
    study: Study, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    study.hold_out("c")
    run = study.runs.create("ua-mt", {"steps": np.int64(5), "preset": "modern"}, seed=7)
    assert run.identifier == "001-ua-mt"
    assert (run.method, run.status, run.seed) == ("ua-mt", "running", 7)
    assert run.settings == {"steps": 5, "preset": "modern"}
    assert run.labelled == ("a",)
    assert run.unlabelled == ("b",)
    assert run.label_hash == study.labels.snapshot_hash()
    assert "numpy" in run.versions
    assert run.finished is None
    written = json.loads((run.folder / "settings.json").read_text())
    assert written["settings"] == run.settings


def test_runs_are_numbered_in_their_order(study: Study) -> None:
    names = [study.runs.create(method, {}, 0).identifier for method in ("ua-mt", "dtc", "dtc")]
    assert names == ["001-ua-mt", "002-dtc", "003-dtc"]
    assert [run.identifier for run in study.runs.all()] == names


def test_the_newest_usable_run_is_finished_or_stopped_with_a_checkpoint(study: Study) -> None:
    with pytest.raises(StudyError, match="train first"):
        study.runs.get()
    first, second, third = (study.runs.create("dtc", {}, seed) for seed in range(3))
    study.runs.update(first.identifier, status="finished", steps=100)
    study.runs.update(second.identifier, status="stopped")
    study.runs.update(third.identifier, status="failed")
    assert study.runs.get().identifier == first.identifier
    (second.folder / "checkpoint.pt").write_bytes(b"weights")
    assert study.runs.get().identifier == second.identifier
    assert study.runs.get(third.identifier).status == "failed"


def test_updating_a_run_keeps_earlier_fields(study: Study) -> None:
    run = study.runs.create("dtc", {}, 0)
    study.runs.update(run.identifier, device="cpu", steps=1)
    updated = study.runs.update(run, status="finished", steps=np.int32(2))
    assert updated.details == {"device": "cpu", "steps": 2}
    assert updated.finished is not None
    assert study.runs.update(run, status="running").finished is None


@pytest.fixture
def other_program(study: Study) -> Iterator[subprocess.Popen[str]]:
    """A program that trains run 001-dtc of the study until it is killed."""
    code = (
        "import sys; from napari_semiseg.engine.study import Study; "
        "study = Study.open(sys.argv[1]); run = study.runs.create('dtc', {}, 0); "
        "(run.folder / 'checkpoint.pt').write_bytes(b'weights'); print('begun', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(study.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def test_a_run_whose_program_is_killed_counts_as_stopped_and_goes_on(
    study: Study, other_program: subprocess.Popen[str]
) -> None:
    assert study.runs.get("001-dtc").status == "running"
    other_program.kill()
    other_program.wait()
    assert study.runs.get("001-dtc").status == "stopped"
    assert study.runs.get().identifier == "001-dtc"
    assert study.runs.update("001-dtc", status="running").status == "running"


def test_a_run_that_another_program_trains_cannot_go_on_here(
    study: Study, other_program: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(StudyError, match="trained by another program: stop it there"):
        study.runs.update("001-dtc", status="running")
    assert study.runs.get("001-dtc").status == "running"


def test_a_run_is_no_longer_running_once_its_study_is_closed(study: Study) -> None:
    study.runs.create("dtc", {}, 0)
    with Study.open(study.path) as another:
        assert another.runs.get("001-dtc").status == "running"
        study.close()
        assert another.runs.get("001-dtc").status == "stopped"


def test_a_run_that_goes_on_is_known_by_the_labels_of_both_starts(
    study: Study, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    run = study.runs.create("dtc", {"budget": 1}, 0)
    first = study.labels.snapshot_hash()
    resumed = study.runs.resume(run.identifier, {"budget": 2})
    assert (resumed.label_hash, resumed.settings) == (first, {"budget": 2})
    study.labels.save("b", drawn, state=CaseState.LABELLED)
    for _ in range(2):  # a second time nothing is new
        resumed = study.runs.resume(run.identifier, {"budget": 3})
        assert resumed.label_hash not in (first, study.labels.snapshot_hash())
        assert resumed.label_hash.count("then") == 1
        assert resumed.last_label_hash == study.labels.snapshot_hash()
    assert resumed.labelled == ("a", "b")
    study.mark("a", CaseState.IN_PROGRESS)
    later = study.runs.create("dtc", {}, 0, former=resumed)
    assert later.labelled == ("b",)
    assert set(later.learnt_from) == {"a", "b"}


def test_an_unknown_status_or_run_is_refused(study: Study) -> None:
    run = study.runs.create("dtc", {}, 0)
    with pytest.raises(StudyError, match="cannot be 'lost'"):
        study.runs.update(run, status="lost")
    with pytest.raises(StudyError, match="001-dtc"):
        study.runs.get("009-dtc")


def test_metrics_are_kept_a_run_and_a_case(study: Study) -> None:
    run = study.runs.create("dtc", {}, 0)
    study.runs.record_metrics(run.identifier, "b", {"dice": 0.5})
    study.runs.record_metrics(run, "a", {"dice": {1: np.float32(0.25)}, "distance": float("nan")})
    study.runs.record_metrics(run, "b", {"dice": 0.75})
    metrics = study.runs.metrics(run)
    assert list(metrics) == ["a", "b"]
    assert metrics["b"] == {"dice": 0.75}
    assert metrics["a"]["dice"] == {"1": 0.25}
    assert np.isnan(metrics["a"]["distance"])
