"""A form for the settings of a method, derived from its settings class.

A method declares its hyper-parameters once, as pydantic fields with defaults, ranges and help texts;
the form is made from them, so a method of another package gets one too. Main thread only.
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal, get_args, get_origin

from magicgui.widgets import create_widget
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.gui.widgets.controls import caption, describe

SIMPLE_TYPES = (bool, int, float, str)
LARGEST = 1_000_000


class SettingsForm(QWidget):
    """The fields of a settings class as controls.

    Parameters
    ----------
    settings : type of pydantic.BaseModel
        The class; every field has a default.
    parent : QWidget or None
        Qt's owner.

    Attributes
    ----------
    changed : Signal
        A value was changed.
    """

    changed = Signal()

    def __init__(self, settings: type[BaseModel], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fields = settings.model_fields
        self._widgets = {name: field_widget(name, info) for name, info in self._fields.items()}
        # spin boxes round, so what they show of a default may differ from it
        self._as_shown = {name: widget.value for name, widget in self._widgets.items()}
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for name, widget in self._widgets.items():
            info = self._fields[name]
            label = QLabel(title_of(name, info))
            default = f"{info.default:g}" if isinstance(info.default, float) else info.default
            help_text = f"{info.description or title_of(name, info)} (default: {default})"
            describe(widget.native, title_of(name, info), help_text)
            label.setToolTip(help_text)
            label.setBuddy(widget.native)
            form.addRow(label, widget.native)
            widget.changed.connect(self._on_value)
        if not self._widgets:
            form.addRow(caption("This method has no settings of its own."))

    @property
    def widgets(self) -> dict[str, Any]:
        """The magicgui widget of each field."""
        return dict(self._widgets)

    def _on_value(self) -> None:
        self.changed.emit()

    @property
    def touched(self) -> bool:
        """Whether any value is another than its default, readable or not."""
        return any(self._is_touched(name) for name in self._widgets)

    def _is_touched(self, name: str) -> bool:
        return bool(self._widgets[name].value != self._as_shown[name])

    def differing_values(self) -> dict[str, Any]:
        """Return the values that differ from the defaults.

        Raises
        ------
        SettingsError
            A value written as text cannot be read.
        """
        values = {name: self._value(name) for name in self._widgets if self._is_touched(name)}
        return {
            name: value
            for name, value in values.items()
            if not _same(value, self._fields[name].default)
        }

    def restore_defaults(self) -> None:
        """Put every field back to its default."""
        for name, widget in self._widgets.items():
            widget.value = self._as_shown[name]

    def _value(self, name: str) -> Any:
        value = self._widgets[name].value
        if _is_simple(self._fields[name]):
            return value
        try:
            return json.loads(value)
        except json.JSONDecodeError as problem:
            title = title_of(name, self._fields[name])
            raise SettingsError(
                f"The setting “{title}” cannot be read: write it as JSON, for example "
                f"{json.dumps(self._fields[name].default)}."
            ) from problem


def field_widget(name: str, info: FieldInfo) -> Any:
    """Return the magicgui widget for a pydantic field.

    Parameters
    ----------
    info : FieldInfo
        Its type, default and range. Types other than numbers, text, yes or no and choices are
        edited as JSON.

    Returns
    -------
    magicgui.widgets.bases.ValueWidget
        With the default as its value.
    """
    if get_origin(info.annotation) is Literal:
        options = {"choices": list(get_args(info.annotation))}
        return create_widget(info.default, annotation=str, name=name, options=options)
    if not _is_simple(info):
        return create_widget(json.dumps(info.default), annotation=str, name=name)
    if info.annotation in (int, float):
        options = limits(info)
        return create_widget(info.default, annotation=info.annotation, name=name, options=options)
    return create_widget(info.default, annotation=info.annotation, name=name)


def limits(info: FieldInfo) -> dict[str, Any]:
    """Return smallest and largest value and the step of a numeric field for its spin box."""
    bounds: dict[str, float] = {}
    for entry in info.metadata:
        for key in ("ge", "gt", "le", "lt"):
            if getattr(entry, key, None) is not None:
                bounds[key] = getattr(entry, key)
    step = 1 if info.annotation is int else _step(float(info.default))
    low = bounds.get("ge", bounds["gt"] + step if "gt" in bounds else -LARGEST)
    high = bounds.get("le", bounds["lt"] - step if "lt" in bounds else LARGEST)
    return {"min": min(low, info.default), "max": max(high, info.default), "step": step}


def title_of(name: str, info: FieldInfo) -> str:
    """Return what a field is called in the form."""
    return info.title or name.replace("_", " ").capitalize()


def _step(default: float) -> float:
    """Return a step that is fine beside the default: a tenth of its leading digit's place."""
    return 0.01 if default == 0 else 10.0 ** (math.floor(math.log10(abs(default))) - 1)


def _is_simple(info: FieldInfo) -> bool:
    return info.annotation in SIMPLE_TYPES or get_origin(info.annotation) is Literal


def _same(value: Any, default: Any) -> bool:
    if isinstance(value, float) and isinstance(default, int | float):
        return math.isclose(value, default, rel_tol=1e-9, abs_tol=1e-12)
    return bool(json.dumps(value, default=str) == json.dumps(default, default=str))
