"""Several processes that train one run: together they do what one would do on the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.engine.training.steps_of_two import (
    METHODS,
    half_of_the_batch,
    joined,
    weights_after,
)

pytestmark = pytest.mark.trains

ROOT = Path(__file__).parents[3]
PATIENCE = 150  # seconds


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """Folder with what two processes have made of each method."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "tests.engine.training.steps_of_two", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return folder


def whole(plan, uneven=False):
    return joined(half_of_the_batch(plan, 0, uneven), half_of_the_batch(plan, 1, uneven))


def errors(before, expected, found):
    """How far the way of each network differs from the expected one, as a share of that."""
    return {
        name: (
            (found[name] - expected[name]).norm() / (expected[name] - before[name]).norm()
        ).item()
        for name in expected
    }


@pytest.mark.parametrize("key", METHODS)
def test_two_processes_step_as_one_on_the_whole_batch(by_two, key):
    before, expected = weights_after(key, whole)
    found = torch.load(by_two / f"{key} False.pt")
    assert found["alike"]
    _, alone = weights_after(key, lambda plan: half_of_the_batch(plan, 0, False))
    for name, error in errors(before, expected, found["after"]).items():
        assert error < 2e-3, name
    assert max(errors(before, expected, alone).values()) > 0.05  # or the test would tell nothing


@pytest.mark.parametrize("key", METHODS)
def test_ratios_of_sums_are_averaged_and_nearly_those_of_the_whole_batch(by_two, key):
    before, expected = weights_after(key, lambda plan: whole(plan, True), uneven=True)
    found = torch.load(by_two / f"{key} True.pt")
    assert found["alike"]
    for name in expected:
        ways = (expected[name] - before[name], found["after"][name] - before[name])
        assert torch.cosine_similarity(*ways, dim=0) > 0.9, name
