from __future__ import annotations

import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.classes import ClassInfo, checked_classes, parse_classes


def test_classes_are_read_in_the_order_of_their_values() -> None:
    classes = parse_classes("2=posterior, 1=anterior")
    assert [(item.value, item.name) for item in classes] == [(1, "anterior"), (2, "posterior")]
    assert len({item.colour for item in classes}) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("tumour", "value=name"),
        ("1=", "cannot be read"),
        ("0=background", "from 1 to 255"),
        ("256=x", "from 1 to 255"),
        ("1=a,1=b", "same value"),
        ("1=a,2=A", "same name"),
    ],
)
def test_a_mistake_in_the_text_is_told_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        parse_classes(text)


def test_many_classes_reuse_the_colours() -> None:
    classes = parse_classes(",".join(f"{value}=c{value}" for value in range(1, 256)))
    assert len(classes) == 255


def test_a_colour_that_is_no_colour_is_refused() -> None:
    with pytest.raises(StudyError, match="#rrggbb"):
        checked_classes([ClassInfo(1, "liver", "red")])


def test_a_study_without_classes_is_refused() -> None:
    with pytest.raises(StudyError, match="at least one class"):
        checked_classes([])
