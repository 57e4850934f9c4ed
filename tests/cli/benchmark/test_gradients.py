"""The fast path of every method goes down where float32 does, with the papers' network."""

import pytest
import torch

from napari_semiseg.cli.benchmark import gradients
from napari_semiseg.cli.benchmark.gradients import LEAST_COSINE, gradient_cosine, gradients_of_step
from napari_semiseg.cli.benchmark.twins import LATE, build, build_plain, crops_for, papers_plan
from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.planning.machine import Machine

pytestmark = pytest.mark.trains

MACHINE = Machine("cpu", "CPU", 2**33, 1, "bf16-mixed")
PLAN = papers_plan((16, 16, 16), filters=4)


@pytest.mark.parametrize("key", list(available_methods()))
def test_bfloat16_does_not_turn_the_gradient(key):
    assert (
        gradient_cosine(build(key, PLAN, MACHINE), build_plain(key, PLAN, MACHINE)) >= LEAST_COSINE
    )


def test_two_plain_builds_have_the_same_gradient():
    twins = [build_plain("ua-mt", PLAN, MACHINE) for _ in range(2)]
    assert gradient_cosine(*twins) == pytest.approx(1.0, abs=1e-5)


def test_a_gradient_that_points_elsewhere_is_seen(monkeypatch):
    """The check must fail where a fast path trains something else."""
    fast, plain = (make("mean-teacher", PLAN, MACHINE) for make in (build, build_plain))
    original = gradients.crops_for

    def other_crops(method, seed):
        batch = original(method, seed)
        if method is fast:
            batch.labels.copy_(1 - batch.labels)
        return batch

    monkeypatch.setattr(gradients, "crops_for", other_crops)
    assert gradient_cosine(fast, plain) < LEAST_COSINE


def test_the_gradient_of_each_network_is_taken_before_its_step():
    method = build_plain("cps", PLAN, MACHINE)
    found = gradients_of_step(method, crops_for(method, 0))
    assert set(found) == set(method.optimisers())
    for gradient in found.values():
        assert gradient.dtype == torch.float32
        assert gradient.any()
    assert gradients_of_step(method, crops_for(method, 0)).keys() == found.keys()  # hooks are gone


def test_the_plain_twin_is_float32_and_contiguous():
    plain = build_plain("dtc", PLAN, MACHINE)
    assert plain.fast_precision is None
    weights = [w for network in plain.networks().values() for w in network.parameters()]
    assert all(w.is_contiguous() and w.dtype == torch.float32 for w in weights)
    assert plain.training_step(crops_for(plain, 0), LATE)["loss"] > 0
