"""How far an answer can be trusted, 0…1, with every ingredient of the score in words.

The score starts from the overlap (Dice), averaged over the classes, that the answer would have if the
model's probabilities were true. Whatever is implausible then takes a share of it away: a size, place or
number of pieces that no label shows, a class that is missing or new, two answers that contradict each
other. A measure that is twice its largest usual value halves the trust. An answer is as plausible as
its least plausible class, so that one failure shows among many classes.

The score ranks cases for review. It is no measured Dice: a model that is wrong and sure, about a
structure of usual size and place, gets a high one. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from napari_semiseg.engine.review.answer_measures import Answer, Shape
from napari_semiseg.engine.review.usual import MOST_USUAL, Spread, UsualClass

IngredientName = Literal[
    "doubt inside",
    "doubt around",
    "size",
    "presence",
    "pieces",
    "place",
    "two answers",
    "two runs",
]

_DIRECTIONS = (
    ("lower", "higher"),
    ("farther to the back", "farther to the front"),
    ("farther to the left", "farther to the right"),
)


@dataclass(frozen=True)
class Ingredient:
    """One thing that speaks for or against an answer.

    Attributes
    ----------
    name : str
        What was looked at.
    class_value : int
        Of which class.
    value : float
        What was measured: a share of the volume, a number of pieces, or robust standard deviations.
    threshold : float
        Largest usual value, in the same unit.
    factor : float
        What the trust in the class is multiplied with, 0…1.
    sentence : str
        What was found, for the user.
    """

    name: IngredientName
    class_value: int
    value: float
    threshold: float
    factor: float
    sentence: str

    @property
    def counts_against(self) -> bool:
        """Whether the value is larger than is usual."""
        return self.value > self.threshold


@dataclass(frozen=True)
class Trust:
    """How far an answer can be trusted.

    Attributes
    ----------
    score : float
        0…1; the case with the lowest needs a look most.
    classes : mapping of int to float
        The same for each class; one that is rightly absent is not there.
    ingredients : tuple of Ingredient
        All that was looked at, what weighs most first.
    """

    score: float
    classes: Mapping[int, float]
    ingredients: tuple[Ingredient, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences of what counts against the answer, the gravest first; often none."""
        return tuple(each.sentence for each in self.ingredients if each.counts_against)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "score": self.score,
            "classes": {str(value): score for value, score in self.classes.items()},
            "reasons": list(self.reasons),
            "ingredients": [asdict(each) for each in self.ingredients],
        }


def judge(
    answers: Mapping[int, Answer],
    usual: Mapping[int, UsualClass],
    class_names: Mapping[int, str],
) -> Trust:
    """Say how far an answer can be trusted, and why.

    Parameters
    ----------
    answers : mapping of int to Answer
        The answer's classes, from `measure_answer`.
    usual : mapping of int to UsualClass
        What is usual in the study, from `what_is_usual`.
    class_names : mapping of int to str
        How to name the classes.

    Returns
    -------
    Trust
        Lower, or equal, whenever any measure lies farther from what is usual.
    """
    ingredients: list[Ingredient] = []
    classes: dict[int, float] = {}
    plausibility = 1.0
    for value, answer in answers.items():
        doubt = list(_doubt(value, answer, usual[value], class_names[value]))
        others = list(_plausibility(value, answer, usual[value], class_names[value]))
        ingredients += doubt + others
        plausible = math.prod(each.factor for each in others)
        plausibility = min(plausibility, plausible)
        if answer.shape.present or any(each.counts_against for each in others):
            classes[value] = plausible * math.prod(each.factor for each in doubt)
    overlaps = [each.expected_overlap for each in answers.values()]
    known = [overlap for overlap in overlaps if overlap is not None]
    expected = sum(known) / len(known) if known else 1.0
    ingredients.sort(key=lambda each: each.factor)
    return Trust(expected * plausibility, classes, tuple(ingredients))


def _plausibility(value: int, answer: Answer, usual: UsualClass, name: str) -> Iterator[Ingredient]:
    if usual.labels:
        yield _presence(value, answer.shape, usual, name)
    if answer.shape.present and usual.log_volume is not None:
        yield _size(value, answer.shape.volume_ml, usual.log_volume, name)
        yield _pieces(value, answer.shape.pieces, usual.most_pieces, name)
        if answer.shape.place is not None:
            yield _place(value, answer.shape.place, usual.place, name)
    yield from _agreement(value, answer, usual, name)


def _presence(value: int, shape: Shape, usual: UsualClass, name: str) -> Ingredient:
    """Discount what no label shows by the rule of succession: rarer than 1 in as many and two more."""
    agreeing = usual.present if shape.present else usual.labels - usual.present
    scans = "the one labelled scan" if usual.labels == 1 else f"all {usual.labels} labelled scans"
    if agreeing:
        sentence = f"whether {name} is there is as usual"
    elif shape.present:
        sentence = f"{name} is marked here, and missing in {scans}"
    else:
        sentence = f"{name} is not marked here, and present in {scans}"
    return Ingredient(
        "presence",
        value,
        1 - agreeing / usual.labels,
        usual.labels / (usual.labels + 1),
        1.0 if agreeing else 1 / (usual.labels + 2),
        sentence,
    )


def _doubt(value: int, answer: Answer, usual: UsualClass, name: str) -> Iterator[Ingredient]:
    """Split the expected overlap into what is marked wrongly and what is missed."""
    if answer.doubtful is None or answer.missed is None or answer.expected_overlap is None:
        return
    without_missed = 2 * (1 - answer.doubtful) / (2 - answer.doubtful)
    limit = usual.limits["doubtful"]
    sentence = f"how unsure the program is inside {name} is as usual"
    if answer.doubtful > limit:
        sentence = (
            f"about {_share(answer.doubtful)} of what is marked as {name} is probably wrong; up to "
            f"{_share(limit)} is usual"
        )
    yield Ingredient("doubt inside", value, answer.doubtful, limit, without_missed, sentence)
    limit = usual.limits["missed"]
    sentence = f"how unsure the program is around {name} is as usual"
    if answer.missed > limit:
        sentence = (
            f"around {name}, about {_share(answer.missed)} of its volume is probably missed; up to "
            f"{_share(limit)} is usual"
        )
    factor = (2 - answer.doubtful) / (2 - answer.doubtful + answer.missed)
    yield Ingredient("doubt around", value, answer.missed, limit, factor, sentence)


def _size(value: int, volume_ml: float, usual: Spread, name: str) -> Ingredient:
    logarithm = math.log(volume_ml)
    sentence = f"the size of {name} is as usual"
    deviations = abs(usual.deviations(logarithm))
    if deviations > MOST_USUAL:
        smaller = logarithm < usual.middle
        ratio = math.exp(usual.lowest - logarithm if smaller else logarithm - usual.highest)
        sentence = (
            f"{name} is {ratio:.1f} times {'smaller' if smaller else 'larger'} than in any labelled "
            f"scan ({volume_ml:.2g} mL)"
        )
        if ratio < 1.05:  # labels that are themselves far apart
            sentence = f"{name} is unusually {'small' if smaller else 'large'} ({volume_ml:.2g} mL)"
    return _outlier("size", value, deviations, MOST_USUAL, sentence)


def _pieces(value: int, pieces: int, most: int, name: str) -> Ingredient:
    sentence = f"the number of pieces of {name} is as usual"
    if pieces > most:
        sentence = f"{name} is in {pieces} pieces, and in at most {most} in the labelled scans"
    return _outlier("pieces", value, float(pieces), float(most), sentence)


def _place(
    value: int, place: tuple[float, float, float], usual: tuple[Spread, ...], name: str
) -> Ingredient:
    deviations = [
        spread.deviations(position) for spread, position in zip(usual, place, strict=True)
    ]
    axis = max(range(len(deviations)), key=lambda index: abs(deviations[index]))
    farthest = abs(deviations[axis])
    sentence = f"the place of {name} is as usual"
    if farthest > MOST_USUAL:
        off = abs(place[axis] - usual[axis].middle)
        direction = _DIRECTIONS[axis][int(deviations[axis] > 0)]
        sentence = (
            f"{name} lies {_share(off)} of the scan's extent {direction} than is usual in the labelled "
            "scans"
        )
    return _outlier("place", value, farthest, MOST_USUAL, sentence)


def _agreement(value: int, answer: Answer, usual: UsualClass, name: str) -> Iterator[Ingredient]:
    if answer.apart is not None:
        limit = usual.limits["apart"]
        sentence = f"how far the two answers differ on {name} is as usual"
        if answer.apart > limit:
            sentence = (
                f"the method's two answers differ by {_share(answer.apart)} of the volume of {name}; "
                f"up to {_share(limit)} is usual"
            )
        yield _outlier("two answers", value, answer.apart, limit, sentence)
    if answer.other_run is not None:
        limit = usual.limits["other_run"]
        sentence = f"how far the two runs differ on {name} is as usual"
        if answer.other_run > limit:
            sentence = (
                f"another run marks {name} differently: they overlap with Dice "
                f"{1 - answer.other_run:.3f}; at least {1 - limit:.3f} is usual"
            )
        yield _outlier("two runs", value, answer.other_run, limit, sentence)


def _share(value: float) -> str:
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def _outlier(
    name: IngredientName, value: int, measured: float, threshold: float, sentence: str
) -> Ingredient:
    """Take nothing away up to the threshold, and half at twice the threshold."""
    factor = min(1.0, threshold / measured) if measured > 0 else 1.0
    return Ingredient(name, value, measured, threshold, factor, sentence)
