"""Runs that another version recorded: each is said in a sentence, and nothing else is spoiled."""

import json

import pytest
import torch

from napari_semiseg.engine.study import Study
from napari_semiseg.engine.study.records import Records
from tests.cli.typed import TINY

COMPARED = ["--methods", "supervised", "--steps", 1, *TINY]


def change_settings(path, run, change):
    """Write other settings into the records of a run, as another version would have."""
    records = Records(path)
    with records.transaction() as connection:
        found = connection.execute("SELECT settings FROM runs WHERE identifier = ?", (run,))
        settings = json.loads(found.fetchone()[0])
        change(settings["training"])
        connection.execute(
            "UPDATE runs SET settings = ? WHERE identifier = ?", (json.dumps(settings), run)
        )
    records.close()


def change_checkpoint(path, run, **changes):
    file = path / "runs" / run / "checkpoint.pt"
    torch.save(torch.load(file, weights_only=True) | changes, file)


def add_run_of_unknown_method(path):
    """Record a run of a method that only another computer has; return its identifier."""
    with Study.open(path) as study:
        former = study.runs.all()[0]
        record = json.loads(json.dumps(former.settings))
        record["training"] |= {"method": "of-the-future", "method_settings": {"own": 1}}
        run = study.runs.create("of-the-future", record, 0)
        checkpoint = torch.load(former.folder / "checkpoint.pt", weights_only=True)
        torch.save(checkpoint | {"method": "of-the-future"}, run.folder / "checkpoint.pt")
        study.runs.update(run.identifier, status="finished")
        return run.identifier


@pytest.fixture
def trained(run, study):
    done = run("compare", study, *COMPARED, "--json")
    assert done.status == 0, done.error
    return study


def runs_of(answer):
    assert answer.status == 0, answer.error
    return [each["run"] for each in answer.data["runs"]]


def test_a_setting_that_is_not_known_makes_another_run_and_stops_no_comparison(run, trained):
    change_settings(trained, "001-supervised", lambda training: training.update(smoothing=0.1))
    answer = run("compare", trained, *COMPARED, "--json")
    assert runs_of(answer) == ["002-supervised"]
    assert answer.error.count("does not know (smoothing)") == 1
    assert runs_of(run("compare", trained, *COMPARED, "--json")) == ["002-supervised"]


def test_a_run_with_settings_that_are_not_known_goes_on_without_them(run, trained):
    change_settings(
        trained,
        "001-supervised",
        lambda training: training.update(
            smoothing=0.1,
            method_settings={"own": 1},
            plan_overrides=training["plan_overrides"] | {"recipe.own": 2},
        ),
    )
    for source in ("--start-from", "--resume"):
        budget = ("--steps", 2, "--device", "cpu")
        answer = run("train", trained, source, "001-supervised", *budget, "--json")
        assert answer.status == 0, answer.error
        assert answer.error.count("does not know (smoothing, own, recipe.own)") == 1


def test_a_value_that_is_not_known_stops_no_comparison(run, trained):
    change_settings(trained, "001-supervised", lambda training: training.update(preset="later"))
    answer = run("compare", trained, *COMPARED, "--json")
    assert runs_of(answer) == ["002-supervised"]
    assert "The settings of run 001-supervised cannot be read" in answer.error
    run("train", trained, "--resume", "001-supervised").assert_refused("001-supervised", "preset")


def test_a_method_that_is_not_installed_is_named_where_it_is_asked_for(run, trained, tmp_path):
    odd = add_run_of_unknown_method(trained)
    answer = run("compare", trained, *COMPARED, "--json")
    assert runs_of(answer) == ["001-supervised"]
    assert answer.error.count(f"Run {odd} was trained with the method “of-the-future”") == 1
    status = run("status", trained, "--json")
    assert [each["method"] for each in status.data["runs"]] == ["supervised", "of-the-future"]
    assert run("status", trained).status == 0
    out = tmp_path / "maps"
    for verb in (("predict", trained, "--out", out), ("evaluate", trained)):
        run(*verb, "--run", odd, "--device", "cpu").assert_refused(odd, "is not installed here")
    fine = run("predict", trained, "--out", out, "--run", "001-supervised", "--device", "cpu")
    assert fine.status == 0, fine.error
    assert run("evaluate", trained, "--run", "001-supervised", "--device", "cpu").status == 0


def test_a_checkpoint_of_another_format_is_named_and_the_run_is_made_anew(run, trained):
    change_checkpoint(trained, "001-supervised", format=2, plan=None)
    refused = run("evaluate", trained, "--run", "001-supervised")
    refused.assert_refused("001-supervised has the format 2", "this one reads format 1")
    answer = run("compare", trained, *COMPARED, "--json")
    assert runs_of(answer) == ["002-supervised"]
    assert "has the format 2 of another version" in answer.error


def test_a_checkpoint_with_more_and_with_fewer_fields_still_predicts(run, trained):
    file = trained / "runs" / "001-supervised" / "checkpoint.pt"
    content = torch.load(file, weights_only=True)
    plan = json.loads(content["plan"])
    del plan["window_batch"]
    torch.save(
        content | {"plan": json.dumps(plan | {"own": 1}), "settings": {"own": 1}, "own": 1}, file
    )
    answer = run("evaluate", trained, "--run", "001-supervised", "--device", "cpu", "--json")
    assert answer.status == 0, answer.error


def test_weights_for_other_networks_are_named(run, trained):
    file = trained / "runs" / "001-supervised" / "checkpoint.pt"
    state = torch.load(file, weights_only=True)["state"]
    name = next(iter(state["networks"]))
    state["networks"][name].popitem()
    change_checkpoint(trained, "001-supervised", state=state)
    refused = run("evaluate", trained, "--run", "001-supervised")
    refused.assert_refused("The weights of run 001-supervised", "train again with Supervised")


def test_states_and_decisions_that_are_not_known_show_as_such(run, study):
    records = Records(study)
    with records.transaction() as connection:
        connection.execute("UPDATE cases SET state = 'double read' WHERE name = 'case_02'")
        connection.execute(
            "INSERT INTO decisions (case_name, who, decided_at, what, detail) "
            "VALUES ('case_02', 'test', '2030', 'read twice', '')"
        )
    records.close()
    assert run("status", study, "--json").data["cases"]["case_02"] == "double read"
    assert run("status", study).status == 0
    with Study.open(study) as opened:
        assert opened.decisions("case_02")[-1].what == "read twice"
        assert not opened.case("case_02").trains_with_label
        opened.mark("case_02", "in progress")
        assert opened.case("case_02").state == "in progress"
    trained = run("train", study, "--method", "supervised", "--steps", 1, *TINY, "--json")
    assert trained.status == 0, trained.error
