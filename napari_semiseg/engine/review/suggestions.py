"""What to label next: the scans of which the model is unsure and that look unlike those it has seen.

A scan scores by how unsure the run's answer is, as its rank among the scans, times how far it lies
from the nearest labelled or already suggested scan, by the features of the network that answers. Each
comes with its neediest slices and the reason in words.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from napari_semiseg.engine.drained import Drained
from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.maps import CaseMaps
from napari_semiseg.engine.inference.prediction import method_to_ask, predict_of_many
from napari_semiseg.engine.inference.stored_maps import load_maps
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.review.answer_measures import measure_answer
from napari_semiseg.engine.review.case_features import (
    read_arrays,
    scan_features,
    stored_path,
    write_arrays,
)
from napari_semiseg.engine.review.diversity import Choice, choose_diverse, standardised
from napari_semiseg.engine.review.slices import SliceNeed, rank_slices, slice_needs
from napari_semiseg.engine.sampling.patch_cache import cache_cases
from napari_semiseg.engine.study import Case, Run, Study

KINDS = ("prediction", "uncertainty")

UNLIKE, ALIKE = 1.1, 0.9
"""Multiples of the usual distance from which a scan looks unlike or rather like another."""


@dataclass(frozen=True)
class LookingAtCase:
    """A case is under way; ``share`` of it is done, ``index`` of ``total`` cases were before it."""

    case: str
    index: int
    total: int
    share: float = 0.0


@dataclass(frozen=True)
class Suggestion:
    """A scan to label next.

    Attributes
    ----------
    case : str
        Name of the case.
    score : float
        Rank of its uncertainty × its relative distance, 0…1.
    more_unsure_than : float
        Share of the other candidates of which the model is less unsure, 0…1.
    unlike : float
        Distance from the nearest labelled or already suggested scan, as a multiple of what is usual
        among the candidates.
    most_like : str or None
        Name of that scan; None where nothing is labelled.
    slices : tuple of SliceNeed
        Slices to begin with, the neediest first.
    reason : str
        Why, for the user.
    """

    case: str
    score: float
    more_unsure_than: float
    unlike: float
    most_like: str | None
    slices: tuple[SliceNeed, ...]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return what a script wants to know, ready for JSON."""
        return {
            "case": self.case,
            "score": round(self.score, 4),
            "reason": self.reason,
            "slices": [
                {"axis": "zyx"[need.axis], "index": need.index, "wrong_mm2": need.wrong_mm2}
                for need in self.slices
            ],
        }


def suggest_cases(
    study: Study,
    run: str | None = None,
    count: int = 5,
    *,
    slices: int = 3,
    axis: int | None = None,
    device: str = "auto",
) -> Generator[LookingAtCase, None, list[Suggestion]]:
    """Suggest which scans to label next, and which slices of them.

    Candidates are the cases that no person has begun and that are not held out. Where the run has no
    maps of one, it is predicted; nothing of that is stored but what the suggestion needs.

    Parameters
    ----------
    run : str, optional
        Identifier; the newest with a checkpoint by default.
    count : int
        How many to suggest.
    slices : int
        How many slices to name of each.
    axis : int, optional
        0, 1 or 2: the slices lie across z, y or x; by default across the coarsest axis of each scan.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Returns
    -------
    list of Suggestion
        The best first.

    Raises
    ------
    StudyError
        No such run, or no case is left to suggest.
    """
    cases = [case for case in study.cases() if not case.held_out]
    known = [case for case in cases if _is_known(case)]
    candidates = [case for case in cases if not _is_known(case)]
    if not candidates:
        raise StudyError(
            f"Study “{study.name}” has no scan left to suggest: every scan is labelled, begun or "
            "held out; add more scans."
        )
    look = _Look(study, study.runs.get(run), device)
    total = len(known) + len(candidates)
    known_features = []
    for index, case in enumerate(known):
        yield LookingAtCase(case.name, index, total)
        known_features.append(look.features(case))
    seen = []
    for index, case in enumerate(candidates, start=len(known)):
        yield LookingAtCase(case.name, index, total)
        seen.append((yield from look.whole(case, index, total)))
    features = np.stack([each["features"] for each in seen])
    unsure = np.array([float(each["unsure"]) for each in seen])
    choices = choose_diverse(
        unsure, features, np.array(known_features).reshape(-1, features.shape[1]), count
    )
    usual = _usual_distance(features, known_features)
    named = [*known, *candidates]
    return [
        _suggestion(choice, candidates, named, unsure, usual, seen[choice.index], axis, slices)
        for choice in choices
    ]


def _is_known(case: Case) -> bool:
    """Tell whether a person labelled the case, or has begun to."""
    return case.trains_with_label or case.label_belongs_to_a_person


def _usual_distance(features: np.ndarray, known: Sequence[np.ndarray]) -> float:
    """Return the median distance of candidates from their nearest known scan; infinite without."""
    if not known:
        return np.inf
    points = standardised(np.concatenate([np.array(known), features]))
    distances = np.linalg.norm(points[len(known) :, None] - points[None, : len(known)], axis=2)
    return float(np.median(distances.min(axis=1)))


def _suggestion(
    choice: Choice,
    candidates: Sequence[Case],
    named: Sequence[Case],
    unsure: np.ndarray,
    usual: float,
    seen: dict[str, np.ndarray],
    axis: int | None,
    slices: int,
) -> Suggestion:
    case = candidates[choice.index]
    spacing = case.geometry.spacing
    across = int(np.argmax(spacing)) if axis is None else axis
    needs = {index: seen[f"needs_{index}"] for index in range(3)}
    others = max(1, len(unsure) - 1)
    more_unsure_than = float(np.count_nonzero(unsure < unsure[choice.index])) / others
    unlike = choice.distance / usual if np.isfinite(usual) and usual > 0 else 1.0
    most_like = None if choice.nearest is None else named[choice.nearest].name
    return Suggestion(
        case=case.name,
        score=choice.score,
        more_unsure_than=more_unsure_than,
        unlike=unlike,
        most_like=most_like,
        slices=tuple(rank_slices(needs, across, spacing, most=slices)),
        reason=_reason(more_unsure_than, unlike, most_like),
    )


def _reason(more_unsure_than: float, unlike: float, most_like: str | None) -> str:
    than = f"{more_unsure_than:.0%} of the other scans"
    if more_unsure_than == 1:
        than = "any other scan"
    sentence = f"the program is more unsure here than in {than}"
    if most_like is None:
        return sentence
    if unlike >= UNLIKE:
        return f"{sentence}, and {unlike:.1f} times as far from what is labelled as is usual"
    if unlike <= ALIKE:
        return f"{sentence}, though it looks rather like “{most_like}”"
    return f"{sentence}, and it looks neither very like nor very unlike what is labelled"


@dataclass(frozen=True)
class _Look:
    """What a run sees in cases; everything is measured once and kept in the run's folder."""

    study: Study
    run: Run
    device: str

    @cached_property
    def method(self) -> Method:
        return method_to_ask(self.run.folder, self.device)

    def features(self, case: Case) -> np.ndarray:
        """Return the features of a case, (F,)."""
        path = stored_path(self.run, case)
        kept = read_arrays(path) or {}
        if "features" not in kept:
            kept["features"] = self._measure_features(case)
            write_arrays(path, kept)
        return kept["features"]

    def whole(
        self, case: Case, index: int, total: int
    ) -> Generator[LookingAtCase, None, dict[str, np.ndarray]]:
        """Return features, uncertainty and the needs of all slices of a case."""
        path = stored_path(self.run, case)
        kept = read_arrays(path) or {}
        if "unsure" in kept and "features" in kept:
            return kept
        maps = yield from self._maps(case, index, total)
        values = [item.value for item in self.study.classes]
        needs = slice_needs(
            maps.prediction, maps.uncertainty, None, case.geometry.spacing, len(values) + 1
        )
        kept = {f"needs_{axis}": each for axis, each in needs.items()}
        kept["unsure"] = np.array(unsure_of(maps, values))
        kept["features"] = self._measure_features(case)
        write_arrays(path, kept)
        return kept

    def _measure_features(self, case: Case) -> np.ndarray:
        plan = self.method.plan
        (cached,) = cache_cases(self.study, plan, [case], labels="none")
        return scan_features(self.method, cached.image)

    def _maps(self, case: Case, index: int, total: int) -> Generator[LookingAtCase, None, CaseMaps]:
        """Read the stored maps of a case, or make them."""
        if set(KINDS) <= set(self.study.runs.maps.kinds(self.run.identifier, case.name)):
            return load_maps(self.study, self.run.identifier, case.name)
        work = Drained(predict_of_many(self.method, self.study, case, index, total, KINDS))
        for step in work:
            yield LookingAtCase(case.name, index, total, step.share)
        return work.result


def unsure_of(maps: CaseMaps, class_values: Sequence[int]) -> float:
    """Return how unsure an answer is: 1 − the Dice that its probabilities let expect, 0…1.

    Parameters
    ----------
    class_values : sequence of int
        The foreground classes; those that are not marked say nothing.

    Returns
    -------
    float
        Mean over the classes that are marked; 1 where nothing is.
    """
    answers = measure_answer(
        maps.prediction, maps.geometry, class_values, uncertainty=maps.uncertainty
    )
    overlaps = [each.expected_overlap for each in answers.values()]
    known = [overlap for overlap in overlaps if overlap is not None]
    return 1.0 - float(np.mean(known)) if known else 1.0
