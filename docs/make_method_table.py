"""Write the documentation's table of methods from the methods themselves.

    python docs/make_method_table.py

Networks are those that exist with the papers' preset; the cost is the expected time of a step relative
to a supervised one on as many crops.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from napari_semiseg.engine.methods.assembly import make_fabric
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.planning.plan import Normalisation, Plan
from napari_semiseg.engine.planning.presets import PAPER

PAGE = Path(__file__).parent / "methods.md"
BEGIN = "<!-- methods: written by docs/make_method_table.py -->"
END = "<!-- end of the methods -->"
HEAD = ("key", "method", "idea", "networks", "maps of its own", "cost")


def main() -> None:
    """Replace the table of the page."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    lines += [row(method) for method in available_methods().values()]
    table = "\n".join(lines)
    text = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    replaced, count = pattern.subn(lambda _: f"{BEGIN}\n\n{table}\n\n{END}", text)
    if count != 1:
        raise SystemExit(f"{PAGE.name} has lost its marks {BEGIN} and {END}.")
    PAGE.write_text(replaced, encoding="utf-8")
    print(f"{len(lines) - 2} methods")


def row(method: type[Method]) -> str:
    """Write the row of a method."""
    authors = method.paper.authors.split(", ")
    names = " & ".join(authors) if len(authors) < 3 else f"{authors[0]} et al."
    maps = ", ".join(each.title.lower() for each in method.native_maps)
    cells = (
        f"`{method.key}`",
        f"{method.title} ({names}, {method.paper.venue} {method.paper.year})",
        method.summary.removesuffix("."),
        ", ".join(build(method).networks()),
        maps or "–",
        f"{method.cost.relative:.2g}",
    )
    return f"| {' | '.join(cells)} |"


def build(method: type[Method]) -> Method:
    """Build a method with a small network of the papers' kind."""
    own = method.plan_overrides("paper")
    dimensions = own.get("network.dimensions", 3)
    machine = replace(describe_machine("cpu"), precision="32-true")
    plan = Plan(
        preset="paper",
        spacing=(1.0, 1.0, 1.0),
        patch=(32, 32, 32) if dimensions == 3 else (1, 32, 32),
        class_values=(1,),
        channels=1,
        normalisation=Normalisation(),
        network=NetworkSpecification(
            name=own.get("network.name", "vnet"),
            dimensions=dimensions,
            filters=4,
            strides=((2,) * dimensions,) * 3,
            normalisation="batch",
            dropout=0.5,
        ),
        recipe=PAPER,
    )
    return method(plan, method.Settings(), make_fabric(machine))


if __name__ == "__main__":
    main()
