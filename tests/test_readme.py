"""The README keeps up with the program."""

from pathlib import Path

import pytest

from napari_semiseg.engine.methods.registry import BUILT_IN

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("method", BUILT_IN, ids=lambda method: method.key)
def test_every_method_has_its_row(method):
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{method.key}` |")]
    assert str(method.paper.year) in row
    assert method.summary.removesuffix(".") in row
    for each in method.native_maps:
        assert each.title.lower() in row
