"""The ideas by which methods are told apart, in the order in which a reader meets them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Idea:
    """What methods have in common, in a clinician's words.

    Attributes
    ----------
    title : str
        Of their shelf.
    sentence : str
        What they do.
    """

    title: str
    sentence: str


LABELLED_ONLY = Idea(
    "Labelled scans only", "Leaves the unlabelled scans alone; shows what they are worth."
)
STEADIER_COPY = Idea(
    "A steadier copy teaches",
    "Unlabelled scans must get the answer of an averaged copy of the network.",
)
SAME_ANSWER = Idea(
    "The same answer twice",
    "However an unlabelled scan is disturbed or turned, the answer must stay the same.",
)
BORDERS = Idea(
    "Borders and shapes",
    "The network also learns how far voxels are from the border, and both must agree.",
)
TEACH_EACH_OTHER = Idea(
    "Networks that teach each other",
    "Several networks, or several parts of one, must come to agree.",
)
OWN_LABELS = Idea(
    "Learning from its own labels",
    "What the network is sure of in unlabelled scans, it takes for a label.",
)
CRITIC = Idea("A critic", "A second network judges whether an answer looks drawn by hand.")
APPEARANCE = Idea(
    "How structures look, how large they are",
    "Appearance or size learnt from labelled scans must hold in unlabelled ones.",
)
OTHER = Idea("Other methods", "Methods of other packages.")
FOR_COMPARISONS = Idea(
    "For comparisons only",
    "They are told what nobody knows of a new scan: upper bounds, not for use.",
)

IDEAS = (
    LABELLED_ONLY,
    STEADIER_COPY,
    SAME_ANSWER,
    BORDERS,
    TEACH_EACH_OTHER,
    OWN_LABELS,
    CRITIC,
    APPEARANCE,
    OTHER,
    FOR_COMPARISONS,
)
