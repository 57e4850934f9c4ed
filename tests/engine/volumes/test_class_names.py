from __future__ import annotations

import json

import pytest

from napari_semiseg.engine.errors import BadLabel
from napari_semiseg.engine.volumes.class_names import (
    names_to_segments,
    read_sidecar,
    segments_to_names,
    sidecar_text,
)

NAMES = {1: "anterior", 12: "Flügel hinten"}


def test_segments_and_names_are_inverse():
    assert segments_to_names(names_to_segments(NAMES)) == NAMES


def test_background_is_no_segment():
    assert names_to_segments({0: "background", 1: "heart"})["Segment0_LabelValue"] == "1"


def test_segments_without_a_value_are_left_out():
    assert segments_to_names({"Segment0_Name": "heart", "Segment1_Extent": "0 1 0 1 0 1"}) == {}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"heart": 1, "background": 0}, {0: "background", 1: "heart"}),
        ({"0": "background", "1": "heart"}, {0: "background", 1: "heart"}),
        ({"whole": [1, 2], "core": 2}, {2: "core"}),
        ("heart", {}),
    ],
)
def test_both_directions_of_a_sidecar_are_understood(tmp_path, labels, expected):
    (tmp_path / "case.json").write_text(json.dumps({"labels": labels}))
    assert read_sidecar(tmp_path / "case.nii.gz") == expected


def test_other_entries_of_a_sidecar_survive(tmp_path):
    sidecar = tmp_path / "case.json"
    sidecar.write_text('{"EchoTime": 0.03, "labels": {"old": 1}}')
    content = json.loads(sidecar_text(sidecar, NAMES))
    assert content == {"EchoTime": 0.03, "labels": {"anterior": 1, "Flügel hinten": 12}}


@pytest.mark.parametrize("text", ["{broken", "[1, 2]"])
def test_a_sidecar_that_is_no_json_object_is_named(tmp_path, text):
    (tmp_path / "case.json").write_text(text)
    with pytest.raises(BadLabel, match=r"case\.json"):
        read_sidecar(tmp_path / "case.nii.gz")
