"""A method from outside the package gets its form on the Train page for nothing."""

import sys

import pytest

from napari_semiseg.engine.methods.registry import available_methods, method_of
from napari_semiseg.gui.train.settings_form import SettingsForm
from tests import documented_method


@pytest.fixture
def installed(tmp_path, monkeypatch):
    documented_method.install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_methods", raising=False)
    available_methods.cache_clear()
    yield
    available_methods.cache_clear()


def test_its_settings_are_a_form_with_ranges_and_help(qtbot, installed):
    form = SettingsForm(method_of("mirror-agreement").Settings)
    qtbot.addWidget(form)
    widget = form.widgets["weight"]
    assert (widget.value, widget.max) == (0.1, 10)
    assert "Of the agreement." in widget.tooltip
    widget.value = 2.0
    assert form.differing_values() == {"weight": 2.0}
