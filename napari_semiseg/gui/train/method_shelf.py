"""The methods as a reader finds them: by idea, with what each costs and what it shows.

Pure functions of the method classes, without Qt; the method chooser shows what they return. A method
of another package, and one that is new, finds its place without being named here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from napari_semiseg.engine.inference.maps import MAPS
from napari_semiseg.engine.methods.ideas import FOR_COMPARISONS, IDEAS, Idea

if TYPE_CHECKING:
    from napari_semiseg.engine.methods.contract import Method

RECOMMENDED = Idea(
    "Good to start with",
    "None is best on every study: train “Supervised only” as well and compare.",
)


@dataclass(frozen=True)
class Shelf:
    """Methods that have an idea in common.

    Attributes
    ----------
    idea : Idea
        What it is.
    keys : tuple of str
        Of the methods.
    """

    idea: Idea
    keys: tuple[str, ...]


def shelves(methods: Mapping[str, type[Method]], wanted: str = "") -> list[Shelf]:
    """Return the shelves with the methods that a search finds; shelves without any are left out.

    Parameters
    ----------
    wanted : str
        Words to look for; empty finds all, and then the recommended few come first.
    """

    def shelf(idea: Idea, belongs: Callable[[type[Method]], bool]) -> Shelf:
        hits = [
            key for key, each in methods.items() if belongs(each) and matches(each, wanted, idea)
        ]
        return Shelf(idea, tuple(hits))

    ideas = dict.fromkeys((*IDEAS, *map(idea_of, methods.values())))
    found = [] if wanted.strip() else [shelf(RECOMMENDED, _is_recommended)]
    for idea in sorted(ideas, key=lambda idea: idea == FOR_COMPARISONS):  # those come last
        found.append(shelf(idea, partial(_has_idea, idea)))
    return [each for each in found if each.keys]


def _has_idea(idea: Idea, method: type[Method]) -> bool:
    return idea_of(method) == idea


def _is_recommended(method: type[Method]) -> bool:
    return bool(vars(method).get("good_to_start_with"))


def idea_of(method: type[Method]) -> Idea:
    """Return the idea under which a method is found."""
    return FOR_COMPARISONS if for_comparisons(method) else method.idea


def matches(method: type[Method], wanted: str, idea: Idea) -> bool:
    """Tell whether all words of a search are somewhere in what is known of a method."""
    text = " ".join(
        (method.key, method.title, method.summary, str(method.paper), *own_maps(method))
    )
    text = f"{text} {idea.title} {idea.sentence}".casefold()
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
    every = ", ".join(item.box.lower() for item in MAPS.values() if item.of_every_method)
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
