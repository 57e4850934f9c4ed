"""What a run that starts at this moment learns from: the labels, and the scans with and without one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypedDict

from napari_semiseg.engine.study.cases import Case


class LearntFrom(TypedDict):
    """The labels and scans of a moment.

    Attributes
    ----------
    label_hash : str
        `label_snapshot_hash` of the cases.
    labelled, unlabelled : list of str
        Names of the cases that training may learn from.
    """

    label_hash: str
    labelled: list[str]
    unlabelled: list[str]


def learnt_from(cases: Sequence[Case]) -> LearntFrom:
    """Return what training would learn from, of all cases of a study."""
    return {
        "label_hash": label_snapshot_hash(cases),
        "labelled": [case.name for case in cases if case.trains_with_label],
        "unlabelled": [c.name for c in cases if not (c.trains_with_label or c.held_out)],
    }


def label_snapshot_hash(cases: Sequence[Case]) -> str:
    """Return the SHA-256 of names, labels and done slices of the cases that train with a label.

    Returns
    -------
    str
        Hexadecimal; does not depend on the order of the cases.
    """
    lines = sorted(
        f"{case.name}\t{case.label_hash}\n"
        # nothing is added for complete labels, so that the hashes of older runs still hold
        + ("" if case.done_slices is None else f"\t{case.done_slices.to_json()}\n")
        for case in cases
        if case.trains_with_label
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
