"""The documentation keeps up with the program."""

import re
from pathlib import Path

import pytest

from napari_semiseg.engine.methods.registry import BUILT_IN

TOP = Path(__file__).parents[1]
METHODS = (TOP / "docs" / "methods.md").read_text(encoding="utf-8")
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]


@pytest.mark.parametrize("method", BUILT_IN, ids=lambda method: method.key)
def test_every_method_has_its_row(method):
    (row,) = [line for line in METHODS.splitlines() if line.startswith(f"| `{method.key}` |")]
    assert str(method.paper.year) in row
    assert method.summary.removesuffix(".") in row
    for each in method.native_maps:
        assert each.title.lower() in row


def test_the_readme_is_a_front_door():
    assert len((TOP / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_site_names_every_page():
    site = (TOP / "docs" / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (TOP / "docs").glob("*.md"):
        assert f": {page.name}\n" in site, page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_of_the_code_exist(page):
    """Files and folders that pages name, as `engine/…`, `napari_semiseg/…` or `tests/…`."""
    named = re.findall(
        r"`((?:napari_semiseg|engine|gui|cli|tests|docs)/[\w./-]*)`", page.read_text("utf-8")
    )
    for path in named:
        assert (TOP / path).exists() or (TOP / "napari_semiseg" / path).exists(), path
