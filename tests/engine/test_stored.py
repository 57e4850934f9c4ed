"""What any version of the program stored is read: records with fewer fields and with more."""

import json
from dataclasses import asdict
from enum import StrEnum

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.evaluation.metrics import CaseMetrics, measure_case
from napari_semiseg.engine.methods.contract import NativeMap
from napari_semiseg.engine.methods.registry import available_methods, method_of
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.planning.plan import Normalisation, Plan, Recipe
from napari_semiseg.engine.stored import from_stored, stored_choice
from napari_semiseg.engine.study.done_slices import read_done_slices
from napari_semiseg.engine.study.labels.provenance import Provenance
from napari_semiseg.engine.study.overview import Marked, _Entry
from napari_semiseg.engine.training.settings import TrainingSettings, training_settings
from napari_semiseg.engine.volumes.geometry import Geometry, NiftiForms
from napari_semiseg.engine.volumes.scans import ScanSource

CODES = np.zeros((2, 2, 2), np.uint8)
FORMS = NiftiForms(1, 3, 1, 1, (1.0,) * 12, (0.0,) * 3, (0.0,) * 3, (1.0,) * 8, 2)
GEOMETRY = Geometry((2, 3, 4), np.diag([1.0, 2.0, 3.0, 1.0]), FORMS)
RECIPE = {
    "optimiser": "sgd",
    "learning_rate": 0.01,
    "schedule": "steps",
    "gradient_clip": None,
    "average_decay": None,
    "warm_start_share": 0.0,
    "augmentation": "mirror",
    "labelled": 2,
    "unlabelled": 2,
    "labelled_alone": 4,
    "foreground_share": 0.5,
}
PLAN = {
    "preset": "paper",
    "spacing": [1.0, 1.0, 1.0],
    "patch": [16, 16, 16],
    "class_values": [1, 2],
    "channels": 1,
    "normalisation": {},
    "network": {},
    "recipe": RECIPE,
}
ONE = np.ones((2, 2, 2), np.uint8)
METRICS = measure_case(ONE, ONE, [1], (1.0, 1.0, 1.0)).to_dict()


def _reader(kind):
    return lambda record: from_stored(kind, record)


# name: how it is read, what the first version of it stored at least, and what is stored today
STORED = {
    "geometry": (
        Geometry.from_dict,
        {"shape": [2, 3, 4], "affine": np.eye(4).tolist()},
        GEOMETRY.to_dict(),
    ),
    "scan source": (
        lambda record: ScanSource.from_dict(record, "."),
        {"name": "a", "kind": "file", "paths": ["a.nii"]},
        ScanSource("a", (), "file").to_dict("."),
    ),
    "metrics of a case": (CaseMetrics.from_dict, {"classes": {"1": {"dice": 0.5}}}, METRICS),
    "map of a method": (
        _reader(NativeMap),
        {"key": "own", "title": "Own", "look": "share"},
        asdict(NativeMap("own", "Own", "share")),
    ),
    "overview": (_reader(_Entry), {}, vars(_Entry())),
    "marked": (_reader(Marked), {"run": None, "volumes_ml": {}}, asdict(Marked(None, {}))),
    "done slices": (
        lambda record: read_done_slices(json.dumps(record)),
        {"format": 1, "z": [3]},
        {"format": 1, "z": [3], "y": [], "x": []},
    ),
    "provenance": (
        lambda record: Provenance.from_attributes(CODES, record),
        {},
        Provenance(CODES, ("001-dtc",), "001-dtc").to_attributes(),
    ),
    "plan": (_reader(Plan), PLAN, from_stored(Plan, PLAN).model_dump(mode="json")),
    "recipe": (_reader(Recipe), RECIPE, Recipe(**RECIPE).model_dump(mode="json")),
    "normalisation": (_reader(Normalisation), {}, Normalisation().model_dump(mode="json")),
    "network": (_reader(NetworkSpecification), {}, NetworkSpecification().model_dump(mode="json")),
    "training": (_reader(TrainingSettings), {}, TrainingSettings().model_dump(mode="json")),
    **{
        f"settings of {key}": (
            _reader(method.Settings),
            {},
            method.Settings().model_dump(mode="json"),
        )
        for key, method in available_methods().items()
    },
}


@pytest.mark.parametrize("name", STORED)
def test_a_record_of_the_past_is_filled_with_defaults(name):
    read, least, _ = STORED[name]
    assert read(least) is not None


@pytest.mark.parametrize("name", STORED)
def test_of_a_record_of_the_future_what_is_not_known_is_passed_over(name):
    read, _, today = STORED[name]
    assert repr(read({**today, "of_the_future": {"a": [1]}})) == repr(read(today))


def test_one_metric_more_or_fewer_costs_none_of_the_others():
    stored = {"unit": "mm", "classes": {"1": {"dice": 0.5, "of_the_future": 3.0}}}
    read = CaseMetrics.from_dict(stored).classes[1]
    assert (read["dice"], read["hd95"]) == (0.5, None)


def test_parts_of_a_plan_of_the_future_are_passed_over_too():
    plan = from_stored(Plan, PLAN | {"recipe": RECIPE | {"of_the_future": 1}})
    assert plan.recipe == Recipe(**RECIPE)


def test_nifti_forms_that_lack_a_field_are_none_and_the_grid_stays():
    record = GEOMETRY.to_dict()
    del record["nifti"]["quaternion"]
    read = Geometry.from_dict(record)
    assert read.nifti is None
    assert read.matches(GEOMETRY)


@pytest.mark.parametrize(
    ("kind", "record", "words"),
    [
        (NativeMap, {"key": "own"}, "'title' and 'look'"),
        (Geometry, {"shape": [1, 1, 1], "affine": np.zeros((4, 4))}, "invertible"),
        (TrainingSettings, {"preset": "of the future"}, "preset: "),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(kind, record, words):
    with pytest.raises(StudyError, match=r"^Its record cannot be read, perhaps") as refused:
        from_stored(kind, record, "Its record")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_person_is_still_told_of_a_setting_that_does_not_exist():
    with pytest.raises(Exception, match="stepz"):
        training_settings(stepz=3)
    with pytest.raises(Exception, match="extra"):
        method_of("dtc").Settings(no_such=1)


class _Colour(StrEnum):
    RED = "red"


def test_a_choice_that_is_not_known_shows_as_such_and_is_none_of_the_others():
    assert stored_choice(_Colour, "red") is _Colour.RED
    unknown = stored_choice(_Colour, "pale blue")
    assert isinstance(unknown, _Colour)
    assert (unknown.value, str(unknown), f"{unknown}") == ("pale blue",) * 3
    assert unknown not in list(_Colour)
    assert {_Colour.RED: 1}.get(unknown) is None
    with pytest.raises(ValueError, match="pale blue"):
        _Colour("pale blue")
