"""A plan becomes smaller step by step, in a fixed order and never without an end."""

from itertools import pairwise

import numpy as np
import pytest

from napari_semiseg.engine.planning.machine import Machine
from napari_semiseg.engine.planning.memory import (
    NARROWEST,
    PATCH_SHARE,
    activation_bytes,
    smaller_plan,
)
from tests.engine.methods.conftest import make_plan

GRAPHICS_CARD = Machine("cuda", "GPU", 2**34, 8, "bf16-mixed")
OLD_CPU = Machine("cpu", "CPU", 2**33, 2, "32-true")


def all_savings(plan, machine, **method):
    found = []
    while (saving := smaller_plan(plan, machine, **method)) is not None:
        found.append(saving)
        plan = saving.plan
        machine = Machine(machine.device, "", machine.free_memory, 1, saving.precision)
        assert len(found) < 20
    return found


def large(**changes):
    plan = make_plan(preset="paper")
    network = plan.network.model_copy(update={"strides": ((2, 2, 2),) * 4})
    return plan.model_copy(update={"patch": (80, 112, 112), "network": network, **changes})


def test_crops_go_first_then_the_patch_then_precision():
    kinds = [saving.what.split()[1] for saving in all_savings(large(), OLD_CPU)]
    assert kinds == ["+"] * 2 + ["patch"] * 5 + ["of"]


def test_crops_are_halved_to_one_of_each_kind():
    saving = smaller_plan(large(), GRAPHICS_CARD)
    recipe = saving.plan.recipe
    assert (recipe.labelled, recipe.unlabelled, recipe.labelled_alone) == (1, 1, 2)
    assert saving.plan.patch == (80, 112, 112)


def test_a_method_keeps_the_unlabelled_crops_that_it_needs():
    assert smaller_plan(large(), OLD_CPU, least_unlabelled=2).plan.recipe.unlabelled == 2


def test_a_smaller_patch_suits_the_network_and_takes_clearly_less():
    patches = [large().patch] + [
        saving.plan.patch
        for saving in all_savings(large(), GRAPHICS_CARD)
        if "patch" in saving.what
    ]
    assert len(set(patches)) == len(patches) > 3
    assert patches[-1] == (16 * NARROWEST,) * 3
    for patch in patches:
        assert all(extent % 16 == 0 and extent >= 16 * NARROWEST for extent in patch)
    for before, after in list(pairwise(patches))[:-1]:
        assert np.prod(after) <= PATCH_SHARE * np.prod(before)


def test_slices_stay_slices():
    plan = make_plan(dimensions=2, labelled_alone=1)
    plan = plan.model_copy(update={"patch": (1, 64, 64)})
    for saving in all_savings(plan, GRAPHICS_CARD):
        assert saving.plan.patch[0] == 1


def test_weights_that_may_be_made_for_one_patch_keep_it():
    plan = large()
    network = plan.network.model_copy(update={"name": "monai:SwinUNETR"})
    plan = plan.model_copy(update={"network": network})
    assert [each.plan.patch for each in all_savings(plan, GRAPHICS_CARD)] == [plan.patch] * 2


def test_a_method_that_needs_float32_keeps_it():
    precisions = [each.precision for each in all_savings(large(), OLD_CPU, keeps_precision=True)]
    assert set(precisions) == {"32-true"}
    assert all_savings(large(), OLD_CPU)[-1].precision == "bf16-mixed"


@pytest.mark.parametrize("machine", [GRAPHICS_CARD, OLD_CPU])
def test_every_saving_leaves_a_reason(machine):
    plan = large()
    savings = all_savings(plan, machine)
    last = savings[-1].plan
    assert len(last.reasons) == len(plan.reasons) + len(savings)
    assert all(reason.startswith("Memory: ") for reason in last.reasons[len(plan.reasons) :])


def test_the_estimate_grows_with_all_that_takes_memory():
    plan = large()
    once = activation_bytes(plan, 1)
    assert activation_bytes(plan, 2) == 2 * once
    assert activation_bytes(smaller_plan(plan, OLD_CPU).plan, 1) == once / 2
