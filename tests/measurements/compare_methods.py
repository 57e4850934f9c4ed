"""Compare methods on a folder of scans: make the study, then run `napari-semiseg compare` on it.

The folder has ``images/`` and ``labels/`` with files of the same names. Lists name cases, one a line;
``FILE:5`` takes the first five of a list, ``FILE:-10`` the last ten. Cases in neither list are
unlabelled. Running it again goes on where it stood.

    python tests/measurements/compare_methods.py hippo.semiseg --data ../shared/data/hippocampus \\
        --classes 1=anterior,2=posterior --labelled train.list:5 --held-out val.list \\
        --methods supervised ua-mt --seeds 0 1 --steps 2000 --out docs/comparison-hippocampus.md

With ``--true-sizes`` the labels of the unlabelled cases are stored too, marked as not finished: no
method learns from them but `oracle-size`, which reads off sizes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from napari_semiseg.engine.study import CaseState, Study, parse_classes
from napari_semiseg.engine.volumes import read_label


def main() -> int:
    """Make the study where it is missing and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--classes", required=True)
    parser.add_argument("--labelled", required=True)
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--true-sizes", action="store_true")
    arguments, options = parser.parse_known_args()
    if not arguments.study.exists():
        make_study(arguments)
    command = [
        sys.executable,
        "-c",
        "from napari_semiseg.cli.commands import main; main()",
        "compare",
    ]
    return subprocess.run([*command, str(arguments.study), *options]).returncode


def make_study(arguments: argparse.Namespace) -> None:
    """Add every scan, the labels of the labelled and held-out cases, and lock the latter away."""
    labelled = names_in(arguments.data, arguments.labelled)
    held_out = names_in(arguments.data, arguments.held_out)
    labels = {
        path.name.partition(".")[0]: path for path in (arguments.data / "labels").glob("*.nii.gz")
    }
    with Study.create(arguments.study, parse_classes(arguments.classes)) as study:
        for case in study.scans.add_all([arguments.data / "images"]):
            print(f"added {case}", file=sys.stderr)
        for case in study.cases():
            if case.name in labelled or case.name in held_out:
                study.labels.import_file(case.name, labels[case.name])
            elif arguments.true_sizes:
                label = read_label(labels[case.name], case.geometry)
                study.labels.save(case.name, label.voxels, state=CaseState.IN_PROGRESS)
        for name in held_out:
            study.hold_out(name)


def names_in(folder: Path, entry: str) -> set[str]:
    """Read ``FILE``, ``FILE:5`` (the first five) or ``FILE:-10`` (the last ten)."""
    file, _, count = entry.partition(":")
    names = (folder / file).read_text(encoding="utf-8").split()
    number = int(count or len(names))
    return set(names[:number] if number > 0 else names[number:])


if __name__ == "__main__":
    sys.exit(main())
