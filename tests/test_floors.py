"""What the contracts on imports in pyproject.toml cannot say: what importing loads and costs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "napari_semiseg"
GUI_LIBRARIES = {"napari", "qtpy", "PyQt6", "PySide6", "magicgui", "superqt", "pyqtgraph", "vispy"}
ENGINE_FILES = sorted((PACKAGE / "engine").rglob("*.py"))


def test_only_layers_touches_the_viewers_layers():
    for path in (PACKAGE / "gui").rglob("*.py"):
        if path.name != "layers.py":
            # not the module gui.viewer.layers, which others may import
            touched = re.search(r"(?<!gui\.)viewer\.layers", path.read_text(encoding="utf-8"))
            assert touched is None, path


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_importing_the_package_loads_neither_torch_nor_qt():
    code = (
        "import sys, time; start = time.perf_counter(); import napari_semiseg; "
        "took = time.perf_counter() - start; "
        "loaded = {name.split('.')[0] for name in sys.modules}; "
        "assert not loaded & {'torch', 'qtpy', 'PyQt6', 'PySide6', 'napari', 'monai'}, loaded; "
        "print(took)"
    )
    assert float(run(code).stdout) < 0.3


def test_the_whole_engine_works_without_qt_and_napari():
    modules = [
        "napari_semiseg." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in ENGINE_FILES
        if path.name != "__init__.py"
    ]
    code = (
        f"import sys\nfor name in {modules!r}: __import__(name)\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        f"assert not loaded & {GUI_LIBRARIES!r}, loaded & {GUI_LIBRARIES!r}"
    )
    run(code)


def test_a_study_opens_without_torch():
    code = "import sys; import napari_semiseg.engine.study; assert 'torch' not in sys.modules"
    run(code)


def test_the_public_names_are_there():
    import napari_semiseg

    for name in napari_semiseg.__all__:
        assert callable(getattr(napari_semiseg, name))
    assert set(napari_semiseg.__all__) <= set(dir(napari_semiseg))
    with pytest.raises(AttributeError, match="nothing"):
        napari_semiseg.nothing  # noqa: B018


def test_every_package_is_installed_and_every_installed_package_exists():
    import configparser

    settings = configparser.ConfigParser()
    settings.read(PACKAGE.parent / "setup.cfg")
    named = set(settings["options"]["packages"].split()) - {"napari_semiseg.sample_data"}
    there = {
        ".".join(path.parent.relative_to(PACKAGE.parent).parts)
        for path in PACKAGE.rglob("__init__.py")
    }
    assert named == there
