"""Many scans with their labels at once; one bad file stops none of the others."""

import json

import nibabel
import numpy as np
import pytest

from napari_semiseg.engine.errors import BadLabel, StudyError
from napari_semiseg.engine.study import CaseState, Study, parse_classes
from napari_semiseg.engine.study.imports import CaseLists, ImportSummary, import_cases
from tests.engine.small_study import write_scans

NOTHING = CaseLists(None, ())


@pytest.fixture
def study(tmp_path):
    write_scans(tmp_path, 4)
    with Study.create(tmp_path / "s.semiseg", parse_classes("1=shell,2=core")) as made:
        yield made


def list_file(folder, name, *lines):
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def import_all(study, tmp_path, lists=NOTHING, labels="labels"):
    folder = tmp_path / labels if labels else None
    steps = list(import_cases(study, [tmp_path / "images"], folder, lists))
    summary = ImportSummary()
    for step in steps:
        summary = summary.with_step(step)
    return steps, summary


def states(study):
    return {case.name: case.state for case in study.cases()}


def test_every_label_in_the_folder_is_taken_over_without_lists(study, tmp_path):
    (tmp_path / "labels" / "case_03.nii.gz").unlink()
    steps, summary = import_all(study, tmp_path)
    assert [step.case for step in steps] == ["case_00", "case_01", "case_02", "case_03"]
    assert (summary.added, summary.labelled, summary.problems) == (4, 3, ())
    assert states(study)["case_00"] == CaseState.LABELLED
    assert states(study)["case_03"] == CaseState.UNLABELLED


def test_without_a_label_folder_scans_are_only_added(study, tmp_path):
    _, summary = import_all(study, tmp_path, labels=None)
    assert (summary.added, summary.labelled) == (4, 0)
    assert set(states(study).values()) == {CaseState.UNLABELLED}


def test_lists_say_which_labels_are_taken_and_which_cases_are_locked(study, tmp_path):
    lists = CaseLists.read(
        list_file(tmp_path, "train.list", "case_01", "", "  case_00 "),
        list_file(tmp_path, "test.list", "case_03"),
    )
    _, summary = import_all(study, tmp_path, lists)
    assert summary.to_dict() == {
        "added": 4,
        "labelled": 3,
        "labelled_before": 0,
        "held_out": 1,
        "kept": 0,
        "problems": [],
    }
    assert states(study) == {
        "case_00": CaseState.LABELLED,
        "case_01": CaseState.LABELLED,
        "case_02": CaseState.UNLABELLED,
        "case_03": CaseState.HELD_OUT,
    }
    assert [case.name for case in study.labelled_cases()] == ["case_00", "case_01"]
    assert study.case("case_03").has_label


@pytest.mark.parametrize("ending", [".nii", ".nrrd", ".mha"])
def test_labels_may_come_in_other_formats_than_the_scans(study, tmp_path, ending):
    import SimpleITK

    source = tmp_path / "labels" / "case_00.nii.gz"
    target = source.with_name(f"case_00{ending}")
    if ending == ".nii":
        nibabel.save(nibabel.load(source), target)
    else:
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(source)), str(target))
    expected = np.asanyarray(nibabel.load(source).dataobj).transpose()
    source.unlink()
    _, summary = import_all(study, tmp_path)
    assert (summary.labelled, summary.problems) == (4, ())
    np.testing.assert_array_equal(study.labels.load("case_00"), expected)


def test_a_listed_case_without_a_label_file_is_a_problem(study, tmp_path):
    (tmp_path / "labels" / "case_01.nii.gz").unlink()
    _, summary = import_all(study, tmp_path, CaseLists(("case_00", "case_01"), ()))
    assert (summary.added, summary.labelled) == (4, 1)
    assert len(summary.problems) == 1
    assert "has no label file for “case_01”" in summary.problems[0]


@pytest.mark.parametrize("lists", [CaseLists(("case_9",), ()), CaseLists((), ("case_9",))])
def test_a_listed_name_that_no_scan_has_is_a_problem(study, tmp_path, lists):
    _, summary = import_all(study, tmp_path, lists)
    assert summary.added == 4
    assert summary.problems == ("The list names “case_9”, but no scan has that name.",)


def test_one_bad_scan_stops_none_of_the_others(study, tmp_path):
    path = tmp_path / "images" / "case_01.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])
    steps, summary = import_all(study, tmp_path)
    assert summary.added == 3
    assert [step.case for step in steps if step.problem] == ["case_01"]
    assert "case_01" in summary.problems[0]


def test_one_bad_label_stops_none_of_the_others(study, tmp_path):
    shape = nibabel.load(tmp_path / "images" / "case_01.nii.gz").shape
    wrong = nibabel.Nifti1Image(np.full(shape, 9, np.uint8), np.diag([1, 1, 1.5, 1]))
    nibabel.save(wrong, tmp_path / "labels" / "case_01.nii.gz")
    _, summary = import_all(study, tmp_path)
    assert (summary.added, summary.labelled) == (4, 3)
    assert "case_01" in summary.problems[0]
    assert "9" in summary.problems[0]
    assert states(study)["case_01"] == CaseState.UNLABELLED


def test_a_held_out_scan_is_locked_even_if_its_label_cannot_be_read(study, tmp_path):
    (tmp_path / "labels" / "case_01.nii.gz").write_bytes(b"torn")
    _, summary = import_all(study, tmp_path, CaseLists(None, ("case_01",)))
    assert len(summary.problems) == 1
    assert states(study)["case_01"] == CaseState.HELD_OUT
    assert not study.case("case_01").has_label


def test_a_scan_that_is_there_already_is_told_and_not_added_twice(study, tmp_path):
    import_all(study, tmp_path, labels=None)
    _, summary = import_all(study, tmp_path, labels=None)
    assert summary.added == 0
    assert len(summary.problems) == 4
    assert "already in the study" in summary.problems[0]
    assert len(study.cases()) == 4


def test_scans_that_are_there_already_get_their_labels(study, tmp_path):
    import_all(study, tmp_path, labels=None)
    steps, summary = import_all(study, tmp_path)
    assert [step.added for step in steps] == [False] * 4
    assert (summary.labelled, summary.labelled_before, summary.problems) == (4, 4, ())
    assert set(states(study).values()) == {CaseState.LABELLED}
    assert "took over 4 labels (4 of scans that were in the study already)" in summary.sentence


def test_a_label_that_a_person_made_is_kept_and_told(study, tmp_path):
    import_all(study, tmp_path, labels=None)
    drawn = np.zeros(study.case("case_01").geometry.shape, np.uint8)
    drawn[0, 0, 0] = 2
    study.labels.save("case_01", drawn)
    _, summary = import_all(study, tmp_path)
    assert (summary.labelled, summary.kept, summary.problems) == (3, 1, ())
    np.testing.assert_array_equal(study.labels.load("case_01"), drawn)
    assert states(study)["case_01"] == CaseState.IN_PROGRESS
    assert "kept 1 labels that a person made" in summary.sentence


def test_an_accepted_prediction_gives_way_to_a_label(study, tmp_path):
    import_all(study, tmp_path, labels=None)
    voxels = np.ones(study.case("case_02").geometry.shape, np.uint8)
    study.labels.save("case_02", voxels, origin="accepted")
    _, summary = import_all(study, tmp_path)
    assert summary.labelled == 4
    assert study.case("case_02").label_origin == "human"


def test_the_lists_hold_for_scans_that_are_there_already(study, tmp_path):
    import_all(study, tmp_path, labels=None)
    _, summary = import_all(study, tmp_path, CaseLists(("case_00",), ("case_03",)))
    assert (summary.labelled, summary.held_out) == (2, 1)
    assert states(study)["case_00"] == CaseState.LABELLED
    assert states(study)["case_03"] == CaseState.HELD_OUT
    assert len(summary.problems) == 2, "the two of which nothing was wanted"


def test_a_label_folder_that_is_not_there_is_refused_before_anything_is_added(study, tmp_path):
    with pytest.raises(StudyError, match=r"label folder .* is not there"):
        import_all(study, tmp_path, labels="lables")
    assert study.cases() == []


def test_a_list_of_labels_without_their_folder_is_refused(study, tmp_path):
    with pytest.raises(StudyError, match=r"needs the folder .* --labels"):
        import_all(study, tmp_path, CaseLists(("case_00",), ()), labels=None)
    assert study.cases() == []


def test_a_case_in_both_lists_is_refused(tmp_path):
    both = list_file(tmp_path, "a.list", "case_00", "case_01"), list_file(tmp_path, "b", "case_01")
    with pytest.raises(StudyError, match="“case_01” stands in both lists"):
        CaseLists.read(*both)


def test_a_list_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(StudyError, match="cannot be read; give a text file"):
        CaseLists.read(tmp_path / "missing.list", None)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="cannot be read; give a text file"):
        CaseLists.read(None, tmp_path / "binary")


def test_a_list_that_begins_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "a.list").write_text("case_00\r\ncase_01\r\n", encoding="utf-8-sig")
    assert CaseLists.read(tmp_path / "a.list", None).labelled == ("case_00", "case_01")


def test_without_lists_every_label_is_wanted_and_none_is_locked():
    assert CaseLists.read(None, None) == NOTHING
    assert NOTHING.wants_label("any case")
    assert not CaseLists((), ("a",)).wants_label("b")
    assert CaseLists((), ("a",)).wants_label("a")


def test_a_label_file_whose_names_stand_for_other_values_is_refused(study, tmp_path):
    list(import_cases(study, [tmp_path / "images"], None, NOTHING))
    sidecar = tmp_path / "labels" / "case_00.json"
    sidecar.write_text(json.dumps({"labels": {"background": 0, "Core ": 1, "shell": 2}}))
    label = tmp_path / "labels" / "case_00.nii.gz"
    with pytest.raises(BadLabel, match=r"value 1 “Core ?”, which is 2 in this study"):
        study.labels.import_file("case_00", label)
    assert not study.case("case_00").has_label
    sidecar.write_text(json.dumps({"labels": {"background": 0, "shell": 1, "kernel": 2}}))
    study.labels.import_file("case_00", label)
    assert study.case("case_00").state is CaseState.LABELLED
