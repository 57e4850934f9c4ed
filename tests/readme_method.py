"""The method that the README shows, installed as a package of someone else's would be."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
MOST_LINES = 40


def source():
    """Return the README's method."""
    text = README.read_text(encoding="utf-8")
    return re.search(r"<!-- a whole method -->\s+```python\n(.*?)```", text, re.DOTALL).group(1)


def install(folder):
    """Write the module and what `pip install` would write about it into ``folder``."""
    (folder / "my_methods.py").write_text(source(), encoding="utf-8")
    about = folder / "my_methods-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-methods\nVersion: 1.0\n")
    entry = re.search(r"^mirror-agreement = \"(.*)\"$", README.read_text("utf-8"), re.MULTILINE)
    (about / "entry_points.txt").write_text(
        f"[napari_semiseg.methods]\nmirror-agreement = {entry.group(1)}\n"
    )
