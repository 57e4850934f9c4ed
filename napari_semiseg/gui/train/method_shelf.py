"""The methods as a reader finds them: by idea, with what each costs and what it shows.

Pure functions of the method classes, without Qt; the method chooser shows what they return. A method
of another package, and one that is new, finds its place without being named here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_semiseg.engine.methods.contract import Method

FOR_COMPARISONS = "For comparisons only"
OTHERS = "Other methods"


@dataclass(frozen=True)
class Shelf:
    """Methods that have an idea in common.

    Attributes
    ----------
    title, idea : str
        In a clinician's words.
    keys : tuple of str
        Of the methods.
    """

    title: str
    idea: str
    keys: tuple[str, ...]


RECOMMENDED = Shelf(
    "Good to start with",
    "None is best on every study: train “Supervised only” as well and compare.",
    ("supervised", "ua-mt", "fixmatch", "mc-net-plus"),
)

IDEAS = (
    Shelf(
        "Labelled scans only",
        "Leaves the unlabelled scans alone; shows what they are worth.",
        ("supervised",),
    ),
    Shelf(
        "A steadier copy teaches",
        "Unlabelled scans must get the answer of an averaged copy of the network.",
        ("mean-teacher", "ua-mt", "duwm", "tcsm"),
    ),
    Shelf(
        "The same answer twice",
        "However an unlabelled scan is disturbed or turned, the answer must stay the same.",
        ("pi-model", "temporal-ensembling", "ict", "tcse", "urpc"),
    ),
    Shelf(
        "Borders and shapes",
        "The network also learns how far voxels are from the border, and both must agree.",
        ("dtc", "dtml", "ug-mcl", "sassnet"),
    ),
    Shelf(
        "Networks that teach each other",
        "Several networks, or several parts of one, must come to agree.",
        ("cps", "mc-net-plus", "umct", "reciprocal"),
    ),
    Shelf(
        "Learning from its own labels",
        "What the network is sure of in unlabelled scans, it takes for a label.",
        ("self-training", "fixmatch", "unimatch", "bcp", "entropy-minimisation"),
    ),
    Shelf(
        "A critic",
        "A second network judges whether an answer looks drawn by hand.",
        ("dan", "asdnet"),
    ),
    Shelf(
        "How structures look, how large they are",
        "Appearance or size learnt from labelled scans must hold in unlabelled ones.",
        ("cpcl", "curriculum"),
    ),
)


def shelves(methods: Mapping[str, type[Method]], wanted: str = "") -> list[Shelf]:
    """Return the shelves with the methods that a search finds; shelves without any are left out.

    Parameters
    ----------
    methods : mapping of str to type of Method
        All that can be chosen.
    wanted : str
        Words to look for; empty finds all, and then the recommended few come first.
    """
    usable = {key: method for key, method in methods.items() if not for_comparisons(method)}
    known = {key for shelf in IDEAS for key in shelf.keys}
    found = [*([] if wanted.strip() else [RECOMMENDED]), *IDEAS]
    found.append(
        Shelf(OTHERS, "Methods of other packages.", tuple(k for k in usable if k not in known))
    )
    found.append(
        Shelf(
            FOR_COMPARISONS,
            "They are told what nobody knows of a new scan: upper bounds, not for use.",
            tuple(key for key in methods if key not in usable),
        )
    )
    chosen = [
        Shelf(
            shelf.title,
            shelf.idea,
            tuple(
                key for key in shelf.keys if key in methods and matches(methods[key], wanted, shelf)
            ),
        )
        for shelf in found
    ]
    return [shelf for shelf in chosen if shelf.keys]


def matches(method: type[Method], wanted: str, shelf: Shelf) -> bool:
    """Tell whether all words of a search are somewhere in what is known of a method."""
    text = " ".join(
        (method.key, method.title, method.summary, str(method.paper), *own_maps(method))
    )
    text = f"{text} {shelf.title} {shelf.idea}".casefold()
    return all(word in text for word in wanted.casefold().split())


def for_comparisons(method: type[Method]) -> bool:
    """Tell whether a method sees labels that it must not see, so that it is no method for use."""
    return method.needs_hidden_labels


def cost_in_words(method: type[Method]) -> str:
    """Return how long a step takes, such as ``"about 2.5 × a supervised step"``."""
    cost = method.cost.relative
    if abs(cost - 1) < 0.05:
        return "about as long as a supervised step"
    return f"about {cost:.1f} × a supervised step"


def maps_in_words(method: type[Method]) -> str:
    """Return which maps a method shows."""
    every = "prediction, where it is unsure, distance to the border, similarity"
    own = own_maps(method)
    return f"{every}. Of its own: {'; '.join(own)}." if own else f"{every}."


def own_maps(method: type[Method]) -> tuple[str, ...]:
    """Return the titles of the maps that this method alone makes."""
    return tuple(item.title for item in method.native_maps)


def paper_of(method: type[Method], most_authors: int = 3) -> str:
    """Return the paper with its first authors."""
    authors = [name.strip() for name in method.paper.authors.split(",")]
    named = ", ".join(authors[:most_authors])
    if len(authors) > most_authors:
        named = f"{authors[0]} et al."
    return f"{named}: {method.paper.title}. {method.paper.venue} {method.paper.year}."


def first_key(methods: Iterable[str], default: str) -> str | None:
    """Return the default method where it is there, else the first one."""
    keys = list(methods)
    return default if default in keys else next(iter(keys), None)
