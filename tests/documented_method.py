"""The method that the documentation shows, installed as a package of someone else's would be."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "method-authors.md"
MOST_LINES = 40


def code(mark):
    """Return the code that follows a mark on the page for authors of methods."""
    text = PAGE.read_text(encoding="utf-8")
    return re.search(rf"<!-- {mark} -->\s+```python\n(.*?)```", text, re.DOTALL).group(1)


def source():
    """Return the page's method."""
    return code("a whole method")


def install(folder):
    """Write the module and what `pip install` would write about it into ``folder``."""
    (folder / "my_methods.py").write_text(source(), encoding="utf-8")
    about = folder / "my_methods-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-methods\nVersion: 1.0\n")
    entry = re.search(r"^mirror-agreement = \"(.*)\"$", PAGE.read_text("utf-8"), re.MULTILINE)
    (about / "entry_points.txt").write_text(
        f"[napari_semiseg.methods]\nmirror-agreement = {entry.group(1)}\n"
    )
