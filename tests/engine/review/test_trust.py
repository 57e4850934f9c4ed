"""Trust in an answer, and its reasons."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from napari_semiseg.engine.evaluation.metrics import dice_per_class
from napari_semiseg.engine.review.answer_measures import (
    Answer,
    Shape,
    measure_answer,
    measure_shapes,
)
from napari_semiseg.engine.review.trust import judge
from napari_semiseg.engine.review.usual import what_is_usual
from tests.engine.review.simulated_answers import GRID, NAMES, SHAPE, VALUES, answer, truth

LABELS = [measure_shapes(truth(seed), GRID, VALUES) for seed in range(5)]
OTHERS = [
    measure_answer(prediction, GRID, VALUES, uncertainty=uncertainty)
    for prediction, uncertainty in (answer(truth(seed), seed) for seed in range(10, 18))
]
USUAL = what_is_usual(LABELS, OTHERS, VALUES)


def trust_in(prediction, uncertainty=None, **more):
    measured = measure_answer(prediction, GRID, VALUES, uncertainty=uncertainty, **more)
    return judge(measured, USUAL, NAMES)


def spoil(kind, label):
    """Return an answer that is bad in one way."""
    if kind == "unsure":
        return answer(label, noise=0.5)
    prediction, uncertainty = answer(label)
    bad = prediction.copy()
    if kind == "small":
        bad[:, : SHAPE[1] // 2 - 3] = 0
    elif kind == "missing":
        bad[bad == 2] = 0
    elif kind == "shifted":
        return np.roll(bad, 12, axis=2), np.roll(uncertainty, 12, axis=2)
    elif kind == "swapped":
        bad[prediction > 0] = 3 - prediction[prediction > 0]
    elif kind == "pieces":
        bad[2:5, 2:7, 2:7] = bad[2:5, 2:7, 30:34] = bad[22:25, 34:38, 2:7] = 1
    return bad, uncertainty


def test_a_good_answer_is_trusted_without_reasons_against_it():
    trust = trust_in(*answer(truth(20)))
    assert trust.reasons == ()
    assert trust.score > 0.6
    assert set(trust.classes) == {1, 2}
    assert {each.name for each in trust.ingredients} == {
        "doubt inside",
        "doubt around",
        "size",
        "presence",
        "pieces",
        "place",
    }


@pytest.mark.parametrize("seed", range(20, 24))
@pytest.mark.parametrize("kind", ["unsure", "small", "missing", "shifted", "swapped", "pieces"])
def test_a_bad_answer_is_trusted_less_than_a_good_one_and_says_why(kind, seed):
    label = truth(seed)
    good, bad = trust_in(*answer(label)), trust_in(*spoil(kind, label))
    assert bad.score < good.score - 0.05
    assert bad.reasons


def test_trust_ranks_answers_of_all_qualities_like_their_dice():
    scores, dices = [], []
    for seed, noise in enumerate(np.linspace(0.05, 0.6, 16), start=30):
        label = truth(seed)
        prediction, uncertainty = answer(label, seed, noise)
        scores.append(trust_in(prediction, uncertainty).score)
        dices.append(np.mean(list(dice_per_class(prediction, label, VALUES).values())))
    assert stats.spearmanr(scores, dices).statistic > 0.8


def test_the_reasons_are_sentences_about_what_was_found():
    small = trust_in(*spoil("small", truth(20))).reasons
    assert any(
        "posterior is" in each and "times smaller than in any labelled" in each for each in small
    )
    missing = trust_in(*spoil("missing", truth(20))).reasons
    assert missing[0] == "posterior is not marked here, and present in all 5 labelled scans"
    pieces = trust_in(*spoil("pieces", truth(20))).reasons
    assert "anterior is in 4 pieces, and in at most 1 in the labelled scans" in pieces
    shifted = trust_in(*spoil("shifted", truth(20))).reasons
    assert any("farther to the right than is usual" in each for each in shifted)
    unsure = trust_in(*spoil("unsure", truth(20))).reasons
    assert any("is probably" in each for each in unsure)


def test_a_run_that_contradicts_another_one_is_trusted_less():
    prediction, uncertainty = answer(truth(20))
    same = trust_in(prediction, uncertainty, other_prediction=prediction)
    other = trust_in(prediction, uncertainty, other_prediction=np.roll(prediction, 6, axis=1))
    assert same.score == pytest.approx(trust_in(prediction, uncertainty).score)
    assert other.score < same.score
    assert other.reasons[0].startswith("another run marks")


def test_two_answers_that_differ_count_against_both():
    prediction, uncertainty = answer(truth(20))
    apart = np.where(prediction == 1, 0.6, 0.0).astype(np.float32)
    trust = trust_in(prediction, uncertainty, disagreement=apart)
    assert trust.reasons[0].startswith("the method's two answers differ by ")
    assert trust.classes[1] < trust.classes[2]


def test_an_answer_without_an_uncertainty_map_is_judged_by_what_there_is():
    trust = trust_in(truth(20))
    assert trust.score == 1.0
    assert trust_in(spoil("small", truth(20))[0]).score < 1.0


def test_a_class_that_some_labels_lack_may_be_absent():
    usual = what_is_usual([*LABELS, {1: LABELS[0][1], 2: Shape(0.0)}], OTHERS, VALUES)
    prediction, _ = spoil("missing", truth(20))
    trust = judge(measure_answer(prediction, GRID, VALUES), usual, NAMES)
    assert set(trust.classes) == {1}
    assert trust.reasons == ()


def test_a_class_that_no_label_shows_is_trusted_little():
    labels = [{1: each[1], 2: Shape(0.0)} for each in LABELS]
    usual = what_is_usual(labels, [], VALUES)
    trust = judge(measure_answer(truth(20), GRID, VALUES), usual, NAMES)
    assert trust.reasons == ("posterior is marked here, and missing in all 5 labelled scans",)
    assert trust.classes[2] == pytest.approx(1 / 7)


def test_everything_can_be_told_as_json():
    told = trust_in(*spoil("small", truth(20))).to_dict()
    assert set(told) == {"score", "classes", "reasons", "ingredients"}
    assert told["ingredients"][0]["factor"] <= told["ingredients"][-1]["factor"]


GOOD = measure_answer(*answer(truth(20))[:1], GRID, VALUES, uncertainty=answer(truth(20))[1])
GOOD = {value: replace(each, apart=0.05, other_run=0.05) for value, each in GOOD.items()}
amounts = st.floats(0.0, 1.0)


@given(
    st.sampled_from(["doubtful", "missed", "apart", "other_run"]),
    st.sampled_from(VALUES),
    amounts,
    amounts,
)
def test_more_doubt_or_disagreement_never_means_more_trust(measure, value, one, other):
    less, more = sorted((one, other))
    scores = [
        judge(GOOD | {value: replace(GOOD[value], **{measure: amount})}, USUAL, NAMES).score
        for amount in (less, more)
    ]
    assert 0 <= scores[1] <= scores[0] <= 1


def with_shape(value, **changes):
    changed = replace(GOOD[value], shape=replace(GOOD[value].shape, **changes))
    return judge(GOOD | {value: changed}, USUAL, NAMES).score


@given(st.sampled_from(VALUES), st.integers(1, 40), st.integers(0, 40))
def test_more_pieces_never_mean_more_trust(value, pieces, more):
    assert with_shape(value, pieces=pieces + more) <= with_shape(value, pieces=pieces)


@given(st.sampled_from(VALUES), st.floats(0.0, 4.0), st.floats(0.0, 4.0), st.sampled_from([-1, 1]))
def test_a_size_farther_from_the_usual_never_means_more_trust(value, one, other, sign):
    near, far = sorted((one, other))
    middle = USUAL[value].log_volume.middle
    scores = [
        with_shape(value, volume_ml=float(np.exp(middle + sign * off))) for off in (near, far)
    ]
    assert scores[1] <= scores[0] + 1e-12


@given(st.sampled_from(VALUES), st.integers(0, 2), st.floats(0.0, 0.5), st.floats(0.0, 0.5))
def test_a_place_farther_from_the_usual_never_means_more_trust(value, axis, one, other):
    near, far = sorted((one, other))
    middle = [spread.middle for spread in USUAL[value].place]
    scores = []
    for off in (near, far):
        place = list(middle)
        place[axis] += off
        scores.append(with_shape(value, place=tuple(place)))
    assert scores[1] <= scores[0] + 1e-12


def test_an_answer_to_an_unknown_study_is_still_judged():
    usual = what_is_usual([], [], VALUES)
    trust = judge({1: Answer(Shape(1.0, 1, (0.5,) * 3), 0.05, 0.05)}, usual, NAMES)
    assert trust.score == pytest.approx(2 * 0.95 / (2 - 0.05 + 0.05))
