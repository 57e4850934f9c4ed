from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.errors import BadLabel, StudyError
from napari_semiseg.engine.study import Study, parse_classes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_labels_of_every_integer_type_are_stored_as_bytes(
    study: Study, drawn: np.ndarray, dtype: type
) -> None:
    study.labels.save("a", np.asfortranarray(drawn.astype(dtype)))
    label = study.labels.load("a")
    assert label is not None
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, drawn)


def test_a_label_with_values_that_no_class_has_names_them(study: Study, drawn: np.ndarray) -> None:
    wrong = drawn.astype(np.int32)
    wrong[0, 0, :3] = (7, 9, 1000)
    with pytest.raises(BadLabel, match="7, 9, 1000"):
        study.labels.save("a", wrong)
    wrong[0, 0, :3] = -1
    with pytest.raises(BadLabel, match="-1"):
        study.labels.save("a", wrong)
    with pytest.raises(BadLabel, match=r"value\(s\) 3,"):
        study.labels.save("a", np.where(drawn == 2, 3, drawn).astype(np.uint8))
    assert study.labels.load("a") is None
    assert study.decisions() == []


def test_a_label_of_another_shape_or_type_is_refused(study: Study, drawn: np.ndarray) -> None:
    with pytest.raises(BadLabel, match="shape"):
        study.labels.save("a", drawn.transpose())
    for dtype in (np.float32, bool):
        with pytest.raises(BadLabel, match="whole numbers"):
            study.labels.save("a", drawn.astype(dtype))


def test_a_class_in_use_cannot_be_dropped(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("b", drawn)
    with pytest.raises(StudyError, match="2=tumour cannot be dropped: the label of the case 'b'"):
        study.set_classes(parse_classes("1=liver"))
    study.labels.save("b", np.minimum(drawn, 1))
    with pytest.raises(StudyError, match="cannot be dropped"):  # the previous label holds it
        study.set_classes(parse_classes("1=liver"))
    study.labels.save("b", np.minimum(drawn, 1))
    study.set_classes(parse_classes("1=liver,3=vessel"))
    assert [item.name for item in study.classes] == ["liver", "vessel"]
    assert study.decisions()[-1].what == "classes changed"
    assert study.decisions()[-1].detail == "1=liver,3=vessel"
    with pytest.raises(BadLabel, match="2"):
        study.labels.save("b", drawn)
