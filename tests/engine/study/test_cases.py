from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import CaseState, Study
from napari_semiseg.engine.study.runs.learnt_from import label_snapshot_hash


def test_cases_keep_the_order_in_which_they_were_added(study: Study, write_scan) -> None:
    list(study.scans.add_all([write_scan("aa")]))
    assert [case.name for case in study.cases()] == ["a", "b", "c", "aa"]


def test_a_new_case_knows_its_scan_and_has_no_label(study: Study) -> None:
    case = study.case("a")
    assert case.state is CaseState.UNLABELLED
    assert case.geometry.shape == (6, 7, 8)
    assert case.channels == 1
    assert not case.has_label
    assert case.label_origin is None
    assert len(case.content_hash) == 64


def test_an_unknown_name_is_answered_with_similar_ones(study: Study, write_scan) -> None:
    list(study.scans.add_all([write_scan("patient_17")]))
    with pytest.raises(StudyError, match="did you mean patient_17"):
        study.case("patient_71")


def test_the_snapshot_hash_depends_on_trained_labels_only(study: Study, drawn: np.ndarray) -> None:
    empty = study.labels.snapshot_hash()
    study.labels.save("a", drawn)
    assert study.labels.snapshot_hash() == empty
    study.mark("a", CaseState.LABELLED)
    with_a = study.labels.snapshot_hash()
    assert with_a != empty
    study.labels.save("b", drawn, state=CaseState.LABELLED)
    study.hold_out("b")
    assert study.labels.snapshot_hash() == with_a
    study.labels.save("a", drawn // 2, state=CaseState.LABELLED)
    assert study.labels.snapshot_hash() not in (empty, with_a)


def test_the_snapshot_hash_does_not_depend_on_the_order_of_cases(
    study: Study, drawn: np.ndarray
) -> None:
    for name in "abc":
        study.labels.save(name, drawn, state=CaseState.LABELLED)
    cases = study.cases()
    renumbered = [replace(case, identifier=9 - case.identifier) for case in reversed(cases)]
    assert label_snapshot_hash(cases) == label_snapshot_hash(renumbered)
