"""Cases, scans, labels and maps that the tests of layers put on the screen."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from napari_semiseg.engine.inference.maps import CaseMaps, NativeArray
from napari_semiseg.engine.methods.contract import NativeMap
from napari_semiseg.engine.study import CaseState, parse_classes
from napari_semiseg.engine.volumes import Geometry, Volume

CLASSES = parse_classes("1=anterior,2=posterior")
SHAPE = (6, 16, 20)


def geometry(affine=None):
    if affine is None:
        affine = np.diag([1.0, 1.5, 3.0, 1.0])
    return Geometry(shape=SHAPE, affine=np.asarray(affine, float), nifti=None)


def case(name="one", identifier=1, grid=None):
    return SimpleNamespace(identifier=identifier, name=name, geometry=grid or geometry())


def volume(channels=1, grid=None):
    voxels = np.random.default_rng(0).normal(size=(channels, *SHAPE)).astype(np.float32)
    return Volume(voxels, grid or geometry())


def at_once(work):
    """Stands in for the event loop's next turn."""
    work()


def label():
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[4, 4:12, 5:10] = 1
    voxels[4, 4:12, 10:15] = 2
    return voxels


def maps(name="one", everything=True, shift=0):
    prediction = np.roll(label(), shift, axis=2)
    rng = np.random.default_rng(1)
    distance = rng.normal(0, 5, (2, *SHAPE)).astype(np.float32)
    similarity = rng.uniform(-1, 1, (3, *SHAPE)).astype(np.float32)
    shared = {"prediction": prediction, "uncertainty": rng.uniform(size=SHAPE).astype(np.float32)}
    if everything:
        shared |= {"signed_distance": distance, "similarity": similarity}
    return CaseMaps(name, geometry(), shared, uncertainty_source="teacher dropout", seconds=1.0)


OWN_MAPS = (
    NativeMap("second", "Teacher's prediction", "classes", "classes"),
    NativeMap("mask", "Mask from the distance", "share", "foreground"),
    NativeMap("border", "Learned distance", "distance", "foreground", 12.0, "mm"),
    NativeMap("likeness", "Likeness", "similarity", "classes"),
    NativeMap("kept", "Trusted in training", "share"),
)


def maps_with_own(descriptions=OWN_MAPS):
    channels = {"foreground": (2,), "classes": (3,), "one": ()}
    native = {}
    for number, item in enumerate(descriptions):
        if item.look == "classes":
            array = label()
        else:
            array = np.random.default_rng(number).uniform(size=(*channels[item.channels], *SHAPE))
        native[item.key] = NativeArray(array, item)
    shown = maps()
    return replace(
        shown, shared={**shown.shared, "disagreement": shown.uncertainty / 2}, native=native
    )


def stored_prediction(session, background, name="scan_1", voxels=None):
    """Put a run with a prediction of a case into the study."""
    study = session.open_study.study
    run = study.runs.create("ua-mt", {}, 0)
    study.runs.update(run.identifier, status="finished")
    shape = study.case(name).geometry.shape
    prediction = np.zeros(shape, np.uint8)
    prediction[2:5, 2:6, 2:6] = 1
    study.runs.maps.save(run, name, "prediction", prediction if voxels is None else voxels)
    study.runs.maps.save(
        run, name, "uncertainty", np.full(shape, 0.25, np.float32), source="dropout passes"
    )
    study.mark(name, CaseState.PREDICTED)
    session.open_study.refresh()
    background.finish()
    return run.identifier, prediction


def paint(session, value=1, z=1):
    layer = session.on_show.layers.label_layer
    layer.data_setitem((np.array([z, z]), np.array([2, 2]), np.array([2, 3])), value)


def show(session, background, name):
    session.on_show.show(name)
    background.finish()
    assert session.on_show.name == name
