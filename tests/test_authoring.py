"""The names that authors of methods import stay where they are and cost nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from napari_semiseg import authoring


@pytest.mark.parametrize("name", authoring.__all__)
def test_every_name_resolves(name):
    assert getattr(authoring, name).__doc__
    assert name in dir(authoring)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        authoring.nothing  # noqa: B018


def test_what_type_checkers_see_is_what_there_is():
    (seen,) = (
        node
        for node in ast.parse(Path(authoring.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If)
    )
    rooms = {
        alias.asname: imports.module.removeprefix("napari_semiseg.")
        for imports in seen.body
        for alias in imports.names
    }
    assert rooms == authoring._ROOM_OF


def test_importing_it_loads_no_torch():
    code = "import sys; import napari_semiseg.authoring; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
