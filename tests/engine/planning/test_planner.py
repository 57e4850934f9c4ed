"""Every plan trains: its patch suits its network, whatever the scans and the machine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_semiseg.engine.errors import SettingsError, TrainingError
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.planning.fingerprint import Fingerprint
from napari_semiseg.engine.planning.machine import Machine
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.planning.planner import BOTTLENECK, COARSEST, make_plan

HIPPOCAMPUS = ((35, 50, 36), (1.0, 1.0, 1.0))
LEFT_ATRIUM = ((88, 320, 320), (1.25, 0.625, 0.625))
THICK_MR = ((24, 512, 512), (6.0, 0.45, 0.45))
BIG_CT = ((700, 512, 512), (0.7, 0.8, 0.8))
SLICE = ((1, 384, 400), (1.0, 0.5, 0.5))
STACK = ((5, 256, 256), (8.0, 1.0, 1.0))


def fingerprint(scans=HIPPOCAMPUS, is_ct=False, channels=1, foreground=None):
    shape, spacing = scans
    values = np.linspace(0, 100, 1001, dtype=np.float32) if foreground is None else foreground
    return Fingerprint(shape, spacing, shape, channels, is_ct, (values,) * channels)


def machine(device="cpu", gigabytes=8.0):
    return Machine(device, device.upper(), int(gigabytes * 2**30), 4, "32-true")


def plan_of(scans=HIPPOCAMPUS, preset="modern", overrides=None, on=None, **more):
    return make_plan(fingerprint(scans, **more), on or machine(), (1, 2), preset, overrides)


def assert_trainable(plan):
    extents = np.array(plan.spatial)
    divisor = np.array(plan.network.divisor)
    assert len(divisor) == len(extents) == plan.network.dimensions
    assert (extents % divisor == 0).all()
    assert (extents[divisor > 1] // divisor[divisor > 1] >= BOTTLENECK).all()
    assert all(extent >= 1 for extent in plan.patch)
    assert plan.network.dimensions == 3 or plan.patch[0] == 1
    assert all(mm > 0 for mm in plan.spacing)


shapes = st.tuples(st.integers(1, 700), st.integers(8, 640), st.integers(8, 640))
spacings = st.tuples(st.floats(0.3, 10.0), st.floats(0.2, 3.0), st.floats(0.2, 3.0))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    shape=shapes,
    spacing=spacings,
    gigabytes=st.floats(0.05, 80.0),
    device=st.sampled_from(["cpu", "cuda", "mps"]),
    preset=st.sampled_from(["modern", "paper"]),
)
def test_any_scan_on_any_machine_gets_a_plan_that_trains(shape, spacing, gigabytes, device, preset):
    plan = plan_of((shape, spacing), preset, on=machine(device, gigabytes))
    assert_trainable(plan)
    assert all(
        have - 1e-3 <= planned <= COARSEST * have + 1e-3
        for have, planned in zip(spacing, plan.spacing, strict=True)
    )
    assert plan.reasons


@settings(max_examples=40, deadline=None, derandomize=True)
@given(shape=shapes, spacing=spacings)
def test_a_patch_on_the_cpu_is_never_larger_than_what_a_cpu_steps_through_fast(shape, spacing):
    assert np.prod(plan_of((shape, spacing)).patch) <= 160_000


@pytest.mark.parametrize("preset", ["modern", "paper"])
@pytest.mark.parametrize(
    "scans", [HIPPOCAMPUS, LEFT_ATRIUM, THICK_MR, BIG_CT, SLICE, STACK], ids=lambda s: str(s[0])
)
def test_known_kinds_of_scans_get_plans_that_train(scans, preset):
    assert_trainable(plan_of(scans, preset))


def test_a_small_scan_fits_into_one_patch_at_its_own_voxel_size():
    plan = plan_of(HIPPOCAMPUS)
    assert plan.spacing == HIPPOCAMPUS[1]
    assert all(
        extent - factor < patch <= extent
        for extent, patch, factor in zip(
            HIPPOCAMPUS[0], plan.patch, plan.network.divisor, strict=True
        )
    )
    assert "Voxel size: as scanned." in plan.reasons


def test_a_large_scan_is_coarsened_until_a_patch_sees_enough_of_it():
    shape, spacing = (88, 150, 190), (0.625, 0.625, 0.625)
    plan = plan_of((shape, spacing))
    extent = np.array(shape) * np.array(spacing)
    assert plan.spacing[1] > spacing[1]
    assert np.prod(plan.patch) * 3 > np.prod(extent / np.array(plan.spacing))


def test_the_finest_axes_are_coarsened_first():
    plan = plan_of(((24, 320, 320), (6.0, 0.6, 0.6)))
    assert plan.spacing[0] == 6.0
    assert 0.6 < plan.spacing[1] == plan.spacing[2] < 1.8


def test_thick_slices_are_never_made_thicker():
    assert plan_of(((24, 512, 512), (6.0, 0.45, 0.45))).spacing == (6.0, 1.35, 1.35)


def test_thick_slices_are_pooled_later_than_fine_ones():
    strides = plan_of(THICK_MR).network.strides
    assert strides[0] == (1, 2, 2)
    assert plan_of(HIPPOCAMPUS).network.strides[0] == (2, 2, 2)


def test_a_big_ct_is_never_coarsened_beyond_three_times_its_voxel_size():
    plan = plan_of(BIG_CT, is_ct=True)
    assert all(
        planned <= COARSEST * have + 1e-4
        for have, planned in zip(BIG_CT[1], plan.spacing, strict=True)
    )


@pytest.mark.parametrize("scans", [SLICE, STACK])
def test_single_slices_and_thin_stacks_get_a_2d_network(scans):
    plan = plan_of(scans)
    assert plan.network.dimensions == 2
    assert plan.patch[0] == 1
    assert plan.spatial == plan.patch[1:]


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_a_scan_can_be_planned_slice_by_slice(preset):
    plan = plan_of(preset=preset, overrides={"network.dimensions": 2})
    assert plan.network.dimensions == 2
    assert plan.patch[0] == 1
    assert all(len(stride) == 2 for stride in plan.network.strides)
    assert plan.spacing == plan_of(preset=preset).spacing


def test_less_memory_means_a_smaller_patch():
    much, little = (plan_of(LEFT_ATRIUM, on=machine("cuda", size)) for size in (40, 2))
    assert np.prod(little.patch) < np.prod(much.patch)


def test_a_gpu_gets_a_wider_network_and_more_windows_at_once():
    cpu, gpu = plan_of(), plan_of(on=machine("cuda"))
    assert (cpu.network.filters, gpu.network.filters) == (8, 32)
    assert gpu.window_batch > cpu.window_batch


def test_the_paper_preset_is_the_papers_network_patch_and_recipe():
    plan = plan_of(((88, 160, 180), (0.625, 0.625, 0.625)), "paper")
    assert plan.patch == (80, 112, 112)
    assert plan.spacing == (0.625, 0.625, 0.625)
    assert plan.network == NetworkSpecification(
        name="vnet", classes=3, filters=16, strides=((2, 2, 2),) * 4,
        normalisation="batch", dropout=0.5,
    )  # fmt: skip
    assert (plan.recipe.optimiser, plan.recipe.learning_rate) == ("sgd", 0.01)
    assert plan.recipe.warm_start_share == 0
    assert plan.recipe.average_decay is None


def test_the_paper_preset_does_not_turn_ct():
    assert plan_of(BIG_CT, "paper", is_ct=True).recipe.augmentation == "noise"
    assert plan_of(BIG_CT, "paper").recipe.augmentation == "mirror"


def test_ct_is_clipped_to_what_the_labels_contain_in_hounsfield_units():
    values = np.random.default_rng(0).normal(60, 20, 100_000).astype(np.float32)
    values[:20], values[20:40] = -1000, 3000
    normalisation = plan_of(is_ct=True, foreground=values).normalisation
    assert normalisation.kind == "ct"
    low, high = normalisation.window[0]
    assert (low, high) == pytest.approx((60 - 2.576 * 20, 60 + 2.576 * 20), abs=2)
    assert normalisation.mean[0] == pytest.approx(60, abs=1)
    assert normalisation.deviation[0] == pytest.approx(20, rel=0.05)


def test_ct_without_contrast_does_not_divide_by_zero():
    normalisation = plan_of(is_ct=True, foreground=np.full(100, 40, np.float32)).normalisation
    assert normalisation.deviation[0] > 0


def test_mr_is_normalised_scan_by_scan_in_each_channel():
    plan = plan_of(channels=4)
    assert plan.normalisation.kind == "scan"
    assert plan.channels == plan.network.channels == 4


def test_a_plan_survives_the_way_through_json():
    plan = plan_of(THICK_MR, is_ct=True)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_overrides_reach_the_plan_and_its_parts():
    plan = plan_of(
        overrides={
            "patch": (16, 32, 32),
            "spacing": [2, 2, 2],
            "network.filters": 4,
            "network.strides": [[2, 2, 2]],
            "recipe.learning_rate": 1e-4,
            "normalisation.percentiles": (1, 99),
        }
    )
    assert plan.patch == (16, 32, 32)
    assert plan.spacing == (2.0, 2.0, 2.0)
    assert plan.network.filters == 4
    assert plan.recipe.learning_rate == 1e-4
    assert plan.normalisation.percentiles == (1, 99)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"pach": (16, 16, 16)}, "The plan has no “pach”; it has .*patch"),
        ({"network.filter": 8}, "The plan has no “network.filter”"),
        ({"": 8}, "The plan has no “”"),
        ({"patch.x": 8}, "The plan has no “patch.x”"),
        ({"patch": (16, 16)}, "The plan's patch.*cannot be that"),
        ({"patch": (0, 16, 16)}, "The plan's patch.0 cannot be that: .*greater than 0"),
        ({"patch": "large"}, "The plan's patch cannot be that"),
        ({"patch": (15, 16, 16)}, "each axis must be a multiple of"),
        ({"spacing": (1, -1, 1)}, "The plan's spacing.1 cannot be that"),
        ({"window_batch": 0}, "The plan's window_batch cannot be that"),
        ({"recipe.learning_rate": -1}, "The plan's recipe.learning_rate cannot be that"),
        ({"recipe.optimiser": "adam"}, "'adamw' or 'sgd'"),
        (
            {"network.dimensions": 2, "network.strides": [[2, 2, 2]]},
            "give 2 factors for each level",
        ),
        (
            {"network.dimensions": 2, "patch": (16, 16, 16)},
            "its first extent must be 1",
        ),
        ({"network.classes": 7}, "network.classes follows from the study"),
        ({"channels": 7}, "channels follows from the study"),
    ],
)
def test_an_override_that_is_not_possible_is_refused_in_one_sentence(overrides, words):
    with pytest.raises(SettingsError, match=words) as refused:
        plan_of(overrides=overrides)
    assert "\n" not in str(refused.value)


def test_a_study_without_classes_cannot_be_planned():
    with pytest.raises(TrainingError, match="has no classes"):
        make_plan(fingerprint(), machine(), ())
