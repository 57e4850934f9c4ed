from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.methods.registry import available_methods, settings_of
from napari_semiseg.gui.train.settings_form import SettingsForm, limits


class Everything(BaseModel):
    weight: float = Field(0.1, ge=0, le=100, title="Weight", description="How much it counts.")
    decay: float = Field(0.99, gt=0, lt=1)
    passes: int = Field(8, ge=2, le=64)
    steepness: float = Field(1500.0, gt=0, le=10_000)
    sharpen: bool = False
    loss: Literal["dice", "both"] = "dice"
    sizes: tuple[int, ...] = (1, 2)


@pytest.fixture
def form(qtbot):
    form = SettingsForm(Everything)
    qtbot.addWidget(form)
    return form


def test_an_untouched_form_differs_in_nothing(form):
    assert form.differing_values() == {}


def test_only_what_was_changed_is_returned(form):
    form.widgets["weight"].value = 0.5
    form.widgets["sharpen"].value = True
    form.widgets["loss"].value = "both"
    form.widgets["passes"].value = 16
    form.widgets["sizes"].value = "[3, 4]"
    assert form.differing_values() == {
        "weight": 0.5,
        "sharpen": True,
        "loss": "both",
        "passes": 16,
        "sizes": [3, 4],
    }
    form.restore_defaults()
    assert form.differing_values() == {}


def test_a_change_is_told_and_can_be_undone(form, qtbot):
    assert not form.touched
    with qtbot.waitSignal(form.changed):
        form.widgets["sizes"].value = "one and two"
    assert form.touched
    form.restore_defaults()
    assert not form.touched


def test_ranges_come_from_the_fields(form):
    assert (form.widgets["passes"].min, form.widgets["passes"].max) == (2, 64)
    assert form.widgets["weight"].max == 100
    fields = Everything.model_fields
    assert 0 < limits(fields["decay"])["min"] <= limits(fields["decay"])["max"] < 1
    assert limits(fields["steepness"])["step"] == 100


def test_help_texts_are_tooltips_and_titles_accessible_names(form):
    native = form.widgets["weight"].native
    assert "How much it counts." in native.toolTip()
    assert native.accessibleName() == "Weight"


def test_unreadable_text_is_told_with_an_example(form):
    form.widgets["sizes"].value = "one and two"
    with pytest.raises(SettingsError, match="Sizes"):
        form.differing_values()


@pytest.mark.parametrize("key", sorted(available_methods()))
def test_every_method_gets_a_form_whose_defaults_are_the_papers(qtbot, key):
    method = available_methods()[key]
    form = SettingsForm(method.Settings)
    qtbot.addWidget(form)
    assert form.differing_values() == {}
    values = {name: widget.value for name, widget in form.widgets.items()}
    assert settings_of(method, form.differing_values()) == method.Settings()
    assert set(values) == set(method.Settings.model_fields)
