"""TCSM and TCSE (specification §7.11, §9)."""

from dataclasses import replace

import pytest
import torch

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.view_transforms import AXIAL, RIGHT, View, flip, quarter_turns

pytestmark = pytest.mark.trains

END = Clock(6000, 1.0)
QUIET = {"noise": 0.0}
KEYS = ("tcsm", "tcse")


def drop_nothing(method):
    for network in method.networks().values():
        for layer in network.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0


def look_from(method, monkeypatch, view):
    monkeypatch.setattr(method, "views", lambda crops: [view] * crops)


def make_blind_to_sides(method):
    """Kernels of one voxel: such a network gives the same answer from every side."""
    for network in method.networks().values():
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv3d) and layer.kernel_size == (3, 3, 3):
                with torch.no_grad():
                    middle = layer.weight[:, :, 1:2, 1:2, 1:2].clone()
                    layer.weight.zero_()
                    layer.weight[:, :, 1:2, 1:2, 1:2] = middle
            if isinstance(layer, torch.nn.ConvTranspose3d):
                with torch.no_grad():
                    layer.weight.copy_(layer.weight.mean(dim=(2, 3, 4), keepdim=True))


def consistency(method, batch):
    return method.losses(batch, END)[0]["consistency"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("planes", ["axial", "all"])
def test_a_network_without_sides_agrees_with_itself_from_every_side(build, make_batch, key, planes):
    scaling = {"scaling": 0.0} if key == "tcsm" else {}
    method = build(key, QUIET | scaling | {"planes": planes})
    drop_nothing(method)
    make_blind_to_sides(method)
    batch = make_batch(method.plan)
    batch = replace(batch, images=batch.plain_images)
    for seed in range(5):
        torch.manual_seed(seed)
        assert consistency(method, batch).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("key", KEYS)
def test_an_ordinary_network_does_not(build, make_batch, key, monkeypatch):
    method = build(key, QUIET)
    drop_nothing(method)
    look_from(method, monkeypatch, quarter_turns(3, AXIAL, 1))
    batch = make_batch(method.plan)
    assert consistency(method, replace(batch, images=batch.plain_images)).item() > 1e-8


@pytest.mark.parametrize("view", [flip(3, RIGHT), quarter_turns(3, AXIAL, 3)])
def test_what_the_teacher_says_of_a_turned_crop_is_turned_back(
    build, make_batch, monkeypatch, view
):
    method = build("tcsm", QUIET | {"scaling": 0.0, "consistency_weight": 1.0})
    look_from(method, monkeypatch, view)
    batch = make_batch(method.plan)
    student = torch.softmax(method.student(batch.images).logits, dim=1)[2:]
    turned = view.apply(batch.plain_images[2:])
    answer = torch.softmax(method.averaged(turned).logits, dim=1)
    expected = (student - view.undo(answer)).square().mean()
    torch.testing.assert_close(consistency(method, batch), expected)


def test_the_papers_consistency_reaches_the_student_and_not_the_teacher(build, make_batch):
    """The authors' code has no gradient at all."""
    method = build("tcsm")
    consistency(method, make_batch(method.plan)).backward()
    head = method.student.heads.segmentation.weight
    assert head.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in method.averaged.network.parameters())


@pytest.mark.parametrize("gradient", ["both", "first"])
def test_both_sides_of_tcse_learn_unless_one_is_held(build, make_batch, gradient):
    method = build("tcse", {"gradient": gradient})
    images = make_batch(method.plan).plain_images
    assert method.answer_again(images).requires_grad is (gradient == "both")


def test_a_scaled_crop_is_compared_where_it_was_seen(build, make_batch, monkeypatch):
    method = build("tcsm", QUIET | {"scaling": 0.5, "consistency_weight": 1.0})
    batch = make_batch(method.plan)
    monkeypatch.setattr(torch, "rand", lambda *size: torch.ones(*size))  # the largest factor
    terms, scalars = method.losses(batch, END)
    assert terms["consistency"].item() > 0
    assert scalars["seen share"] == pytest.approx((10 / 16) ** 3)


def test_scaling_is_undone(build, make_batch, monkeypatch):
    """A teacher that says what it sees says, brought back, what was there."""
    method = build("tcsm", {"scaling": 0.2})
    monkeypatch.setattr(method, "teach", lambda images: images)
    slope = torch.linspace(0, 1, 16).expand(2, 3, 16, 16, 16)
    loss, _ = method.consistency(slope, slope, END)
    assert loss.item() < 1e-4


@pytest.mark.parametrize("key", KEYS)
def test_labelled_crops_are_turned_with_their_labels_where_so_set(
    build, make_batch, key, monkeypatch
):
    method = build(key, {"turn_labelled": True})
    view = View((0, 2, 1), frozenset({1}))
    look_from(method, monkeypatch, view)
    batch = make_batch(method.plan)
    batch = replace(batch, labels=torch.randint(3, batch.labels.shape))
    turned = method.turned(batch)
    assert torch.equal(turned.labels, view.apply(batch.labels))
    assert torch.equal(turned.images[:2], view.apply(batch.images[:2]))
    assert torch.equal(turned.plain_images[:2], view.apply(batch.plain_images[:2]))
    assert torch.equal(turned.images[2:], batch.images[2:])
    assert build(key).turned(batch) is batch


@pytest.mark.parametrize("key", KEYS)
def test_patches_that_are_not_square_keep_their_shape(build, make_batch, key):
    method = build(key, {"planes": "all"})
    plan = method.plan.model_copy(update={"patch": (8, 16, 12)})
    method.plan = plan
    for seed in range(4):
        report = method.training_step(make_batch(plan, 1, 1, seed=seed), END)
        assert "skipped" not in report


@pytest.mark.parametrize("key", KEYS)
def test_mirror_images_can_be_left_out(build, key):
    method = build(key, {"flips": False})
    torch.manual_seed(0)
    allowed = {quarter_turns(3, AXIAL, count) for count in range(4)}
    assert set(method.views(100)) == allowed


@pytest.mark.parametrize("key", KEYS)
def test_maps_compare_the_window_with_itself_turned_by_half(build, make_batch, key):
    method = build(key)
    image = make_batch(method.plan).plain_images
    maps = method.predict(image, native=True)
    assert set(maps.native) == {each.key for each in method.native_maps}
    turned = method.predict(image.flip(-1, -2), uncertainty=False).probabilities.flip(-1, -2)
    torch.testing.assert_close(maps.native["turned_prediction"], turned)
    expected = 0.5 * (maps.probabilities - turned).abs().sum(dim=1)
    torch.testing.assert_close(maps.disagreement, expected)
    assert method.predict(image, uncertainty=False).disagreement is None
