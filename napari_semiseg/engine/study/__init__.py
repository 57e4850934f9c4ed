"""The work of one user on disk: cases, classes, labels, runs and decisions in one study folder.

Other rooms import from here; the files of the room are its own affair.
"""

from napari_semiseg.engine.study.cases import Case, CaseState
from napari_semiseg.engine.study.classes import DEFAULT_COLOURS, ClassInfo, parse_classes
from napari_semiseg.engine.study.decisions import Decision, DecisionKind
from napari_semiseg.engine.study.exports import export_labels
from napari_semiseg.engine.study.labels.strokes import PaintedBox, lay_over
from napari_semiseg.engine.study.runs.maps import StoredMap
from napari_semiseg.engine.study.runs.run import Run
from napari_semiseg.engine.study.scans.adding import ScanProblem
from napari_semiseg.engine.study.study import Study
from napari_semiseg.engine.study.time_spent import Work

__all__ = [
    "DEFAULT_COLOURS",
    "Case",
    "CaseState",
    "ClassInfo",
    "Decision",
    "DecisionKind",
    "PaintedBox",
    "Run",
    "ScanProblem",
    "StoredMap",
    "Study",
    "Work",
    "export_labels",
    "lay_over",
    "parse_classes",
]
