"""A run that starts with the networks of another one, on the labels of now."""

import pytest
import torch

from napari_semiseg.engine.errors import SettingsError, StudyError
from napari_semiseg.engine.methods.assembly import load_checkpoint
from napari_semiseg.engine.study import CaseState, parse_classes
from napari_semiseg.engine.training import events
from napari_semiseg.engine.training.preparation import prepare, settings_of_run
from tests.engine.small_study import make_study
from tests.engine.training.small_training import losses, run_training, tiny

pytestmark = pytest.mark.trains

MUCH_STATE = ("supervised", "ua-mt", "dan", "reciprocal", "self-training", "temporal-ensembling")


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path, count=5) as made:
        yield made


def prepared(study, settings, resume=None):
    work = prepare(study, settings, resume)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def assert_networks(method, stored):
    assert method.networks().keys() == stored.keys()
    for name, network in method.networks().items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, stored[name][key]), f"{name} {key}"


@pytest.mark.parametrize("key", MUCH_STATE)
def test_it_has_the_networks_of_the_other_run_and_nothing_else(study, key):
    _, first = run_training(study, tiny(key, steps=2))
    work = prepared(study, tiny(key, start_from=first.identifier, seed=7))
    assert_networks(work.method, load_checkpoint(first.folder).state["networks"])
    assert (work.step, work.seconds) == (0, 0.0)
    assert all(not optimiser.state for optimiser in work.method.optimisers().values())
    assert work.method.prototypes is None
    assert work.run.identifier != first.identifier
    assert work.run.settings["training"]["start_from"] == first.identifier
    assert first.identifier in work.method.plan.reasons[-1]


def test_it_learns_from_labels_that_came_since_and_starts_better(study):
    fast = {"recipe.learning_rate": 0.05, "recipe.augmentation": "mirror"}
    seen, first = run_training(study, tiny("supervised", steps=30, plan_overrides=fast))
    study.labels.save("case_02", study.labels.load("case_00"), state=CaseState.LABELLED)
    settings = settings_of_run(first).model_copy(update={"start_from": first.identifier})
    again, second = run_training(study, settings)
    assert second.labelled == ("case_00", "case_01", "case_02")
    assert second.label_hash != first.label_hash
    assert losses(again)[0] < 0.8 * losses(seen)[0]


def test_it_goes_on_after_a_stop_where_it_stood(study):
    _, first = run_training(study, tiny(steps=2))
    settings = tiny(steps=4, start_from=first.identifier)
    whole, _ = run_training(study, settings)

    def stop(event):
        return events.Stop() if getattr(event, "step", 0) == 2 else None

    before, stopped = run_training(study, settings, answer=stop)
    after, _ = run_training(study, settings_of_run(stopped), stopped.identifier)
    assert losses(before) + losses(after) == losses(whole)


def test_the_plan_of_the_weights_is_kept_and_the_recipe_may_change(study):
    _, first = run_training(study, tiny(steps=1))
    rate = {"recipe.learning_rate": 0.001}
    work = prepared(study, tiny(start_from=first.identifier, plan_overrides=rate))
    assert work.method.plan.recipe.learning_rate == 0.001
    former = load_checkpoint(first.folder).plan
    assert work.method.plan.network == former.network
    assert work.method.plan.patch == former.patch


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "dtc"}, "trained with ua-mt, .* choose ua-mt"),
        ({"preset": "paper"}, "preset “modern”, not “paper”"),
        ({"plan_overrides": {"patch": (8, 8, 8)}}, "another patch; leave “patch” out"),
        ({"plan_overrides": {"network.filters": 2}}, "another network.filters"),
    ],
)
def test_a_run_that_does_not_fit_is_refused_in_one_sentence(study, settings, words):
    _, first = run_training(study, tiny(steps=1))
    with pytest.raises(SettingsError, match=words) as refused:
        prepared(study, tiny(start_from=first.identifier, **settings))
    assert "\n" not in str(refused.value)
    assert len(study.runs.all()) == 1


def test_other_classes_are_refused(study):
    _, first = run_training(study, tiny(steps=1))
    study.set_classes(parse_classes("1=shell,2=core,3=rim"))
    with pytest.raises(SettingsError, match="knows the classes 1, 2 and the study has 1, 2, 3"):
        prepared(study, tiny(start_from=first.identifier))


def test_settings_that_make_other_networks_are_refused(study):
    _, first = run_training(study, tiny("ua-mt", steps=1))
    checkpoint = first.folder / "checkpoint.pt"
    content = torch.load(checkpoint, weights_only=True)
    content["state"]["networks"].pop("averaged")
    torch.save(content, checkpoint)
    with pytest.raises(SettingsError, match="do not fit these settings of Uncertainty-aware"):
        prepared(study, tiny(start_from=first.identifier))


@pytest.mark.parametrize("run", ["009-ua-mt", "001-ua-mt"])
def test_a_run_without_weights_is_named(study, run):
    study.runs.create("ua-mt", {}, 0)
    with pytest.raises(StudyError, match=run):
        prepared(study, tiny(start_from=run))
