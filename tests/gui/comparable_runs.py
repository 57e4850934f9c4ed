"""Runs with figures and predictions to compare, without training any."""

import numpy as np

from napari_semiseg.engine.evaluation.metrics import measure_case
from napari_semiseg.engine.evaluation.recorded import record_case
from napari_semiseg.engine.training.settings import TrainingSettings

HELD_OUT = ("scan_1", "scan_2", "scan_3")


def label_of(index, shrunk=0):
    label = np.zeros((12, 14, 16), np.uint8)
    label[3 : 9 - shrunk, 4 + index : 9 + index, 5:8] = 1
    label[3:9, 4 + index : 9 + index, 8:11] = 2
    return label


def hold_out(study):
    for index in (1, 2, 3):
        study.labels.save(f"scan_{index}", label_of(index), state="labelled")
        study.hold_out(f"scan_{index}")


def add_run(study, method, shrunk=None, steps=100, seed=0, status="finished"):
    """Record a run; with ``shrunk`` it is measured, the more wrong the larger the number."""
    settings = TrainingSettings(method=method, steps=steps, seed=seed)
    run = study.runs.create(method, {"training": settings.model_dump(mode="json")}, seed)
    (run.folder / "checkpoint.pt").write_bytes(b"weights")
    run = study.runs.update(run.identifier, status=status)
    if shrunk is not None:
        measure(study, run, shrunk)
    return run


def measure(study, run, shrunk, cases=HELD_OUT):
    for name in cases:
        index = int(name[-1])
        prediction = label_of(index, shrunk)
        case = study.case(name)
        metrics = measure_case(prediction, label_of(index), [1, 2], case.geometry.spacing)
        record_case(study, run, case, metrics)
        study.runs.maps.save(run, name, "prediction", prediction, run_finished=run.finished)
