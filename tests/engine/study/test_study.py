"""A study under several programs at once, and under programs that are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_semiseg.engine.study import Study, parse_classes

SAVE_AND_RUN = """
import sys
import numpy as np
from napari_semiseg.engine.study import Study

path, author, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Study.open(path) as study:
    shape = study.case("a").geometry.shape
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(count):
        study.labels.save("a", np.full(shape, 1 + number % 2, np.uint8), author=author)
        assert study.labels.load("a").min() >= 1
        run = study.runs.create(author, {"number": number}, number)
        study.runs.update(run.identifier, status="finished")
        study.reject("b", run.identifier, author=author)
"""

SAVE_FOREVER = """
import sys
import numpy as np
from napari_semiseg.engine.study import Study

with Study.open(sys.argv[1]) as study:
    shape = study.case("a").geometry.shape
    number = 0
    while True:
        number += 1
        study.labels.save("a", np.full(shape, number % 255 + 1, np.uint8))
        if number == 1:
            print("ready", flush=True)
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    ready = process.stdout.readline()
    assert ready == "ready\n", process.communicate()[1]
    return process


@pytest.mark.trains
def test_two_programs_write_alternately_and_lose_nothing(study: Study) -> None:
    rounds = 12
    others = [start(SAVE_AND_RUN, str(study.path), who, str(rounds)) for who in ("ada", "grace")]
    for other in others:
        assert other.stdin is not None
        other.stdin.write("go\n")
        other.stdin.flush()
    while any(other.poll() is None for other in others):
        label = study.labels.load("a")  # a reader in this program sees whole labels only
        assert label is None or label.min() == label.max() >= 1
        time.sleep(0.01)
    for other in others:
        assert other.communicate()[1] == ""
        assert other.returncode == 0
    runs = study.runs.all()
    assert [int(run.identifier[:3]) for run in runs] == list(range(1, 2 * rounds + 1))
    for who in ("ada", "grace"):
        numbers = [run.settings["number"] for run in runs if run.method == who]
        assert numbers == list(range(rounds))
    assert all(run.status == "finished" for run in runs)
    assert len(study.decisions("b")) == 2 * rounds
    assert study.case("a").label_version == 2 * rounds
    assert len(list((study.path / "labels" / "1").glob("*.zarr"))) == 2


@pytest.mark.trains
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_program_that_is_killed_leaves_a_whole_label(tmp_path: Path, study: Study) -> None:
    study.set_classes(parse_classes(",".join(f"{value}=c{value}" for value in range(1, 256))))
    random = np.random.default_rng(0)
    for _ in range(6):
        process = start(SAVE_FOREVER, str(study.path))
        time.sleep(float(random.uniform(0.0, 0.15)))
        process.kill()
        process.communicate()
        with Study.open(study.path) as opened:  # proves the records sound
            label = opened.labels.load("a")
            assert label is not None
            assert label.min() == label.max() >= 1
            previous = opened.labels.load_previous("a")
            assert previous is None or previous.min() == previous.max() >= 1
            opened.labels.save("a", label)


def test_names_without_the_ending_mean_the_same_study(study: Study, tmp_path: Path) -> None:
    with Study.open(tmp_path / "liver") as opened:
        assert opened.path == study.path
        assert opened.name == "liver"


def test_the_cache_may_be_deleted_at_any_time(study: Study) -> None:
    study.cache_folder.rmdir()
    assert study.cache_folder.is_dir()
