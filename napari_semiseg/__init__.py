"""Label 3D medical scans with few annotations: semi-supervised segmentation in napari.

The names below load what they need when they are first used, so that importing the package costs
nothing: neither torch nor Qt is loaded. For research use only; not a medical device.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_semiseg.engine.evaluation.held_out import evaluate
    from napari_semiseg.engine.inference.prediction import predict
    from napari_semiseg.engine.methods.registry import available_methods
    from napari_semiseg.engine.study import Study
    from napari_semiseg.engine.training.loop import train
    from napari_semiseg.engine.training.settings import TrainingSettings

__version__ = "0.1.0"

_WHERE = {
    "Study": "engine.study",
    "train": "engine.training.loop",
    "TrainingSettings": "engine.training.settings",
    "predict": "engine.inference.prediction",
    "evaluate": "engine.evaluation.held_out",
    "available_methods": "engine.methods.registry",
}

__all__ = ["Study", "TrainingSettings", "available_methods", "evaluate", "predict", "train"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
