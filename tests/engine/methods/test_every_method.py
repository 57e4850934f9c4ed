"""What holds for every method, whoever wrote it."""

import pytest
import torch

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss

KEYS = list(available_methods())
SEMI_SUPERVISED = [key for key in KEYS if available_methods()[key].uses_unlabelled]
END = Clock(step=900, share=0.95, warm_start_share=0.35)


def weights(network):
    return [weight.detach().clone() for weight in network.parameters()]


def changed(before, network):
    return any(
        not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)
    )


@pytest.mark.trains
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("preset", ["modern", "paper"])
@pytest.mark.parametrize(("dimensions", "classes", "channels"), [(3, 2, 1), (3, 4, 2), (2, 3, 1)])
def test_a_method_trains_in_2d_and_3d_with_any_classes_and_channels(
    build, make_batch, key, preset, dimensions, classes, channels
):
    method = build(key, preset=preset, dimensions=dimensions, classes=classes, channels=channels)
    before = weights(method.student)
    report = method.training_step(make_batch(method.plan, 2, 3), END)
    assert all(value == value and abs(value) < 1e6 for value in report.values())
    assert changed(before, method.student)
    maps = method.predict(make_batch(method.plan).plain_images)
    assert maps.probabilities.shape == (4, classes, *method.plan.spatial)
    torch.testing.assert_close(maps.probabilities.sum(1), torch.ones(4, *method.plan.spatial))
    assert maps.uncertainty.min() >= 0
    assert maps.uncertainty.max() <= 1
    for extent, coarse in zip(method.plan.spatial, maps.features.shape[2:], strict=True):
        assert extent % coarse == 0  # features may be coarser than the window
    assert method.uncertainty_source


def trusting(key):
    """Settings with which a method believes even a network that has learnt nothing yet."""
    fields = available_methods()[key].Settings.model_fields
    return {"confidence_threshold": 0.0} if "confidence_threshold" in fields else {}


@pytest.mark.parametrize("key", SEMI_SUPERVISED)
def test_unlabelled_crops_alone_change_the_student(build, make_batch, key):
    """The trap of two published codes: a consistency loss without a gradient."""
    method = build(key, trusting(key), preset="paper", learning_rate=0.1, weight_decay=0.0)
    batch = make_batch(method.plan)
    _, gradients = unlabelled_gradients(method, batch)
    assert sum(gradient.abs().sum() for gradient in gradients) > 0


def unlabelled_gradients(method, batch):
    torch.manual_seed(0)
    method.student.train()
    terms, scalars = method.losses(batch, END)
    if method.needs_positions:  # such a method remembers: a place must have been seen before
        terms, scalars = method.losses(batch, END)
    unsupervised = [term for name, term in terms.items() if name in method.unsupervised_terms]
    assert unsupervised
    unlabelled_only = torch.stack(unsupervised).sum()
    parameters = [weight for weight in method.student.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(unlabelled_only, parameters, allow_unused=True)
    return scalars, [gradient for gradient in gradients if gradient is not None]


@pytest.mark.parametrize("key", SEMI_SUPERVISED)
def test_no_gradient_reaches_a_teacher(build, make_batch, key):
    method = build(key)
    method.training_step(make_batch(method.plan), END)
    for name, network in method.networks().items():
        if name not in method.optimisers():
            assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("key", KEYS)
def test_the_warm_start_is_supervised_training(build, make_batch, key):
    """Before its warm start is over, a method asks for labelled crops only."""
    method = build(key)
    assert method.crops(Clock(0, 0.0, 0.35)) == (2, 0)
    labelled, unlabelled = method.crops(Clock(500, 0.5, 0.35))
    if key in SEMI_SUPERVISED:
        assert labelled == 1
        assert unlabelled >= 1  # a method may mix several
    else:
        assert (labelled, unlabelled) == (2, 0)


@pytest.mark.trains
@pytest.mark.parametrize("key", KEYS)
def test_the_fast_path_has_the_gradient_of_float32(build, make_batch, key):
    """Bfloat16 may round a gradient but not turn it (cosine at least 0.9)."""
    gradients = []
    for precision in ("32-true", "bf16-mixed"):
        method = build(key, trusting(key), precision=precision, dropout=0.0)
        for layer in method.student.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        torch.manual_seed(1)
        batch = make_batch(method.plan)
        method.student.train()
        terms, _ = method.losses(batch, END)
        torch.stack(list(terms.values())).sum().backward()
        gradients.append(
            torch.cat(
                [
                    w.grad.flatten().float()
                    for w in method.student.parameters()
                    if w.grad is not None
                ]
            )
        )
    assert torch.cosine_similarity(*gradients, dim=0) >= 0.9


@pytest.mark.trains
@pytest.mark.parametrize("key", KEYS)
def test_a_short_training_beats_its_starting_point(build, make_batch, key):
    # Averaged weights lag behind in so few steps, so the student itself is measured.
    method = build(key, average_decay=None, learning_rate=0.01)
    held_back = make_batch(method.plan, labelled=2, unlabelled=0, seed=99)

    def error():
        answer = method.predict(held_back.plain_images, uncertainty=False).probabilities
        return segmentation_loss(torch.log(answer + 1e-8), held_back.labels).item()

    before = error()
    for step in range(100):
        clock = Clock(step, step / 100, method.plan.recipe.warm_start_share)
        _, unlabelled = method.crops(clock)
        method.training_step(make_batch(method.plan, 2, 2 * unlabelled, seed=step), clock)
    assert error() < 0.6 * before


@pytest.mark.trains
@pytest.mark.parametrize("key", KEYS)
def test_state_goes_out_and_comes_back(build, make_batch, key):
    method = build(key)
    for _ in range(2):
        method.training_step(make_batch(method.plan), END)
    method.prototypes = torch.ones(3, 4)
    other = build(key, seed=5)
    other.load_state_dict(method.state_dict())
    image = make_batch(method.plan).plain_images
    torch.testing.assert_close(
        method.predict(image, False).probabilities, other.predict(image, False).probabilities
    )
    torch.manual_seed(0)
    first = method.training_step(make_batch(method.plan), END)
    torch.manual_seed(0)
    second = other.training_step(make_batch(method.plan), END)
    assert first == pytest.approx(second, rel=1e-3)  # what follows an AdamW step is rounded more
    assert torch.equal(other.prototypes, method.prototypes)


@pytest.mark.parametrize("key", KEYS)
def test_a_method_says_what_it_is(key):
    method = available_methods()[key]
    assert method.key == key
    assert method.title
    assert method.summary.endswith(".")
    assert method.paper.year > 2000
    assert method.cost.forward >= method.cost.backward >= 1
    for name, field in method.Settings.model_fields.items():
        assert field.title, name
        assert field.description.endswith("."), name
        assert not field.is_required(), name
