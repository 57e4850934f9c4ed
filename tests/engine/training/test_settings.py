"""Settings are checked when they are made; what a user typed is refused in one sentence."""

import pytest
from pydantic import ValidationError

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.training.settings import TrainingSettings, training_settings


def test_the_defaults_are_what_the_command_line_and_the_desk_start_from():
    settings = TrainingSettings()
    assert (settings.method, settings.preset, settings.seed) == ("ua-mt", "modern", 0)
    assert settings.device == "auto"
    assert settings.minutes is settings.steps is None


def test_settings_survive_the_way_through_json():
    settings = TrainingSettings(steps=4, plan_overrides={"network.filters": 4}, seed=3)
    assert TrainingSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_minutes_and_steps_together_are_refused():
    with pytest.raises(ValidationError, match="not both"):
        TrainingSettings(minutes=1, steps=1)


def test_settings_do_not_change_once_made():
    with pytest.raises(ValidationError):
        TrainingSettings().seed = 4


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"minutes": 1, "steps": 1}, "“minutes or steps” .*: give minutes or steps, not both"),
        ({"minutes": 0}, "“minutes” is not possible"),
        ({"steps": -3}, "“steps” is not possible"),
        ({"steps": "many"}, "“steps” is not possible"),
        ({"seed": -1}, "“seed” is not possible"),
        ({"preset": "fast"}, "“preset” is not possible: .*'modern' or 'paper'"),
        ({"validation_cases": -1}, "“validation_cases” is not possible"),
        ({"checkpoint_seconds": 0}, "“checkpoint_seconds” is not possible"),
        ({"stepz": 3}, "“stepz” is not possible"),
    ],
)
def test_what_a_user_typed_is_refused_in_one_sentence(values, words):
    with pytest.raises(SettingsError, match=words) as refused:
        training_settings(**values)
    assert "\n" not in str(refused.value)


def test_what_a_user_typed_is_taken_where_it_is_possible():
    assert training_settings(steps=5, seed=2) == TrainingSettings(steps=5, seed=2)
