"""How much work a benchmark does: sizes, repetitions, and what the user named.

Plain data without torch, so that the command line reads it at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Shape = tuple[int, int, int]

BOTTLENECK = 4  # voxels; networks are no deeper than leaves their inside this wide
DEEPEST = 4


@dataclass(frozen=True)
class Workload:
    """What is measured, and how often.

    Attributes
    ----------
    patches : tuple of tuple of int
        Training crops (z, y, x).
    scan : tuple of int
        Voxels (z, y, x) of the scan that is generated where no file is named.
    filters : int
        Filters of the networks at full resolution.
    repeats : int
        Timed runs of each competitor, in turn; one more warms up.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    methods : tuple of str
        Keys of the methods whose steps are timed; all where it is empty.
    scan_file : Path or None
        A scan to predict in place of the generated one.
    study : Path or None
        The study in which the first useful prediction is waited for; the sample brains without one.
    useful : float or None
        Mean held-out Dice from which a prediction is useful; by default the study's or sample's own.
    first_method : str
        Key of the method that is trained until then.
    minutes : float
        Its budget.
    """

    patches: tuple[Shape, ...] = ((64, 64, 64), (80, 112, 112))
    scan: Shape = (88, 142, 190)
    filters: int = 16
    repeats: int = 5
    device: str = "auto"
    methods: tuple[str, ...] = ()
    scan_file: Path | None = None
    study: Path | None = None
    useful: float | None = None
    first_method: str = "supervised"
    minutes: float = 1.0


QUICK = Workload(patches=((16, 16, 16),), scan=(20, 24, 28), filters=4, repeats=1, minutes=0.1)
"""Sizes that take seconds: for a first look and for the tests; their ratios mean nothing."""


def levels_of(patch: Shape) -> int:
    """Return how often the papers' V-Net halves a crop (z, y, x): four times where it is large."""
    levels = 1
    while levels < DEEPEST and min(patch) // 2 ** (levels + 1) >= BOTTLENECK:
        levels += 1
    return levels


def in_words(shape: Shape) -> str:
    """Write a shape (z, y, x) as people do, x first."""
    return " × ".join(str(extent) for extent in reversed(shape))
