"""The methods that can be chosen: those of this package and those that other packages register.

Another package adds methods through the entry-point group ``napari_semiseg.methods``, each naming a
subclass of `Method`. Read by training, the settings form, the command line and the benchmark.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from napari_semiseg.engine.errors import SettingsError, StudyError
from napari_semiseg.engine.methods.asdnet import AttentionBasedSegmentation
from napari_semiseg.engine.methods.bcp import BidirectionalCopyPaste
from napari_semiseg.engine.methods.contract import Method, MethodSettings
from napari_semiseg.engine.methods.cpcl import CyclicPrototypeConsistency
from napari_semiseg.engine.methods.cps import CrossPseudoSupervision
from napari_semiseg.engine.methods.curriculum import Curriculum
from napari_semiseg.engine.methods.dan import DeepAdversarialNetwork
from napari_semiseg.engine.methods.dtc import DualTaskConsistency
from napari_semiseg.engine.methods.dtml import DualTaskMutualLearning
from napari_semiseg.engine.methods.duwm import DoubleUncertainty
from napari_semiseg.engine.methods.entropy_minimisation import EntropyMinimisation
from napari_semiseg.engine.methods.fixmatch import FixMatch
from napari_semiseg.engine.methods.ict import InterpolationConsistency
from napari_semiseg.engine.methods.mc_net_plus import MutualDecoders
from napari_semiseg.engine.methods.mean_teacher import MeanTeacher
from napari_semiseg.engine.methods.oracle_size import OracleSize
from napari_semiseg.engine.methods.pi_model import PiModel
from napari_semiseg.engine.methods.reciprocal import ReciprocalLearning
from napari_semiseg.engine.methods.sassnet import ShapeAwareSegmentation
from napari_semiseg.engine.methods.self_training import SelfTraining
from napari_semiseg.engine.methods.supervised import Supervised
from napari_semiseg.engine.methods.tcse import TransformationConsistentModel
from napari_semiseg.engine.methods.tcsm import TransformationConsistentTeacher
from napari_semiseg.engine.methods.temporal_ensembling import TemporalEnsembling
from napari_semiseg.engine.methods.ua_mt import UncertaintyAwareMeanTeacher
from napari_semiseg.engine.methods.ug_mcl import MutualConsistency
from napari_semiseg.engine.methods.umct import MultiViewCoTraining
from napari_semiseg.engine.methods.unimatch import UniMatch
from napari_semiseg.engine.methods.urpc import PyramidConsistency

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "napari_semiseg.methods"
BUILT_IN: tuple[type[Method], ...] = (
    Supervised,
    PiModel,
    TemporalEnsembling,
    MeanTeacher,
    UncertaintyAwareMeanTeacher,
    DoubleUncertainty,
    InterpolationConsistency,
    TransformationConsistentModel,
    TransformationConsistentTeacher,
    EntropyMinimisation,
    DualTaskConsistency,
    DualTaskMutualLearning,
    MutualConsistency,
    ShapeAwareSegmentation,
    DeepAdversarialNetwork,
    AttentionBasedSegmentation,
    PyramidConsistency,
    CrossPseudoSupervision,
    MutualDecoders,
    MultiViewCoTraining,
    CyclicPrototypeConsistency,
    SelfTraining,
    ReciprocalLearning,
    FixMatch,
    UniMatch,
    BidirectionalCopyPaste,
    Curriculum,
    OracleSize,
)


@cache
def available_methods() -> dict[str, type[Method]]:
    """Return every method by its key; built-in ones first and never replaced.

    A package whose method cannot be loaded is left out with a warning in the log, so that it takes no
    other method away.
    """
    methods = {method.key: method for method in BUILT_IN}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        method = _loaded(entry)
        if method is not None:
            methods.setdefault(method.key, method)
    return methods


def _loaded(entry: EntryPoint) -> type[Method] | None:
    try:
        method = entry.load()
    except Exception:  # whatever another package does wrong while it is imported
        logger.warning("The method %s cannot be loaded.", entry.value, exc_info=True)
        return None
    if isinstance(method, type) and issubclass(method, Method):
        return method
    logger.warning("%s is not a method: it does not derive from Method.", entry.value)
    return None


def method_of(key: str) -> type[Method]:
    """Return the method with that key.

    Raises
    ------
    SettingsError
        There is none; the message names the nearest.
    """
    methods = available_methods()
    if key in methods:
        return methods[key]
    near = difflib.get_close_matches(key, methods, n=1)
    hint = f"did you mean “{near[0]}”?" if near else f"choose one of {', '.join(methods)}."
    raise SettingsError(f"There is no method “{key}”; {hint}")


def method_of_run(key: str, run: str) -> type[Method]:
    """Return the method that a run was trained with.

    Raises
    ------
    StudyError
        It is not installed here.
    """
    if key not in available_methods():
        raise StudyError(
            f"Run {run} was trained with the method “{key}”, which is not installed here; install the "
            "package that brings it, or choose another run."
        )
    return available_methods()[key]


def title_of(key: str) -> str:
    """Return the title of a method, or its key where it is not installed."""
    method = available_methods().get(key)
    return key if method is None else method.title


def settings_of(method: type[Method], values: Mapping[str, Any]) -> MethodSettings:
    """Check ``values`` against the settings of ``method`` and fill in the paper's defaults.

    Raises
    ------
    SettingsError
        An unknown name, or a value of the wrong type or out of its range.
    """
    fields = method.Settings.model_fields
    for name in values:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise SettingsError(f"{method.title} has no setting “{name}”; it has: {known}.")
    try:
        return method.Settings.model_validate(dict(values))
    except ValidationError as problem:
        first = problem.errors()[0]
        raise SettingsError(
            f"The setting “{first['loc'][0]}” of {method.title} cannot be {first['input']!r}: "
            f"{first['msg'][0].lower()}{first['msg'][1:]}."
        ) from problem
