import math

import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.prototype_segmentation import backward_consistency, prototypes_of

pytestmark = pytest.mark.trains

END = Clock(6000, 1.0)


def gradients(method, term, batch):
    """Absolute gradient of one loss term on the encoder, and on all that follows it."""
    torch.manual_seed(0)
    method.student.train()
    terms, _ = method.losses(batch, END)
    names, weights = zip(*method.student.named_parameters(), strict=True)
    found = torch.autograd.grad(terms[term], weights, allow_unused=True)
    encoder, rest = 0.0, 0.0
    for name, gradient in zip(names, found, strict=True):
        size = 0.0 if gradient is None else gradient.abs().sum().item()
        if any(part in name for part in ("encoder", "pool", "down")):
            encoder += size
        else:
            rest += size
    return encoder, rest


@pytest.mark.parametrize("preset", ["modern", "paper"])
@pytest.mark.parametrize("term", ["forward", "backward"])
def test_both_consistencies_reach_the_encoder_and_nothing_after_it(build, make_batch, preset, term):
    """The authors' code detaches prototypes and features, so that neither reaches anything."""
    method = build("cpcl", preset=preset)
    encoder, rest = gradients(method, term, make_batch(method.plan))
    assert encoder > 0
    assert rest == 0


def test_the_forward_consistency_reaches_the_decoder_where_the_student_is_its_target(
    build, make_batch
):
    method = build("cpcl", {"forward_target": "student"})
    encoder, rest = gradients(method, "forward", make_batch(method.plan))
    assert encoder > 0
    assert rest > 0


@pytest.mark.parametrize("term", ["forward", "backward"])
def test_decoder_features_bring_the_decoder_into_play(build, make_batch, term):
    method = build("cpcl", {"feature": "decoder"})
    _, rest = gradients(method, term, make_batch(method.plan))
    assert rest > 0


@pytest.mark.parametrize("pairing", ["batch_mean", "paired"])
@pytest.mark.parametrize("weighting", ["mask", "confidence"])
@pytest.mark.parametrize(("labelled", "unlabelled"), [(1, 1), (1, 3), (3, 2)])
def test_every_variant_takes_any_number_of_crops(
    build, make_batch, pairing, weighting, labelled, unlabelled
):
    method = build("cpcl", {"pairing": pairing, "prototype_weighting": weighting}, dimensions=2)
    report = method.training_step(make_batch(method.plan, labelled, unlabelled), END)
    assert all(math.isfinite(value) for value in report.values())
    assert report["backward"] > 0


def test_the_weights_are_the_papers(build, make_batch):
    method = build("cpcl")
    method.student.eval()
    batch = make_batch(method.plan)
    terms, scalars = method.losses(batch, END)
    assert scalars["weight"] == pytest.approx(0.1)
    _, early = method.losses(batch, Clock(0, 0.0))
    assert early["weight"] == pytest.approx(0.1 * math.exp(-5))
    single = build("cpcl", {"backward_weight": 1.0})
    single.student.eval()
    plain, _ = single.losses(batch, END)
    assert terms["backward"].item() == pytest.approx(10 * plain["backward"].item(), rel=1e-4)
    assert terms["forward"].item() == pytest.approx(plain["forward"].item(), rel=1e-4)


def test_the_teacher_is_not_perturbed(build, make_batch):
    """No noise and no dropout: the same crops give the same answer, even in a network with both."""
    method = build("cpcl", preset="paper")
    images = make_batch(method.plan).plain_images
    torch.testing.assert_close(method.teach(images).logits, method.teach(images).logits)
    assert not method.teach(images).bottleneck.requires_grad


def test_a_crop_of_background_alone_gives_no_forward_consistency_and_no_nan(build, make_batch):
    method = build("cpcl")
    batch = make_batch(method.plan)
    batch.labels.zero_()
    report = method.training_step(batch, END)
    assert report["forward"] == pytest.approx(0, abs=1e-9)
    assert report["prototype distance"] == 0
    assert all(math.isfinite(value) for value in report.values())


def test_an_encoder_can_follow_what_the_backward_consistency_asks_for(build, make_batch):
    """Descending it alone, under prototypes of the right classes, lowers it."""
    method = build("cpcl")
    batch = make_batch(method.plan)
    theirs = method.features(method.teach(batch.plain_images[2:]))
    prototypes = prototypes_of(theirs, batch.labels, method.plan.classes).mean_over_images()
    optimiser = torch.optim.Adam(method.student.parameters(), lr=0.01)
    history = []
    for _ in range(15):
        features = method.features(method.student(batch.images[:2]))
        loss = backward_consistency(features, prototypes, batch.labels, method.settings.scale)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.7 * history[0]


@pytest.mark.parametrize(("feature", "share"), [("bottleneck", 4), ("decoder", 1)])
def test_similarity_is_to_the_features_that_prototypes_are_made_of(
    build, make_batch, feature, share
):
    method = build("cpcl", {"feature": feature})
    images = make_batch(method.plan).plain_images
    maps = method.predict(images, uncertainty=False)
    assert maps.features.shape[2:] == tuple(extent // share for extent in method.plan.spatial)
    torch.testing.assert_close(maps.features, method.features(method.answering(images)))


def test_the_native_maps_are_the_two_segmentations_by_prototypes(build, make_batch):
    """Compared with the naive form: interpolate the features, then take the cosine."""
    method = build("cpcl", preset="paper")
    for seed in range(3):
        method.training_step(make_batch(method.plan, seed=seed), END)
    images = make_batch(method.plan, seed=9).plain_images
    maps = method.predict(images, uncertainty=False, native=True)
    networks = {"labelled": method.averaged.network, "unlabelled": method.student}
    for kind, network in networks.items():
        small = network(images).bottleneck
        large = F.interpolate(small, size=method.plan.spatial, mode="trilinear")
        vectors = method.banks[kind].vectors[None, :, :, None, None, None]
        cosine = F.cosine_similarity(large.unsqueeze(1), vectors, dim=2)
        found = maps.native[f"{kind}_likeness"]
        torch.testing.assert_close(found, cosine, atol=1e-4, rtol=1e-3)
        answer = torch.softmax(method.settings.scale * found, dim=1)
        torch.testing.assert_close(maps.native[f"{kind}_answer"], answer)
    theirs = torch.softmax(method.averaged(images).logits, dim=1)
    torch.testing.assert_close(maps.native["teacher_prediction"], theirs)


def test_running_prototypes_are_those_of_the_steps(build, make_batch):
    method = build("cpcl")
    batch = make_batch(method.plan)
    method.losses(batch, END)
    features = method.features(method.student(batch.images[:2]))
    expected = prototypes_of(features, batch.labels, method.plan.classes).mean_over_images()
    torch.testing.assert_close(method.banks["labelled"].vectors, expected.vectors[0])
    assert not method.banks["labelled"].vectors.requires_grad


def test_running_prototypes_go_out_and_come_back(build, make_batch):
    method, other = build("cpcl"), build("cpcl", seed=5)
    method.training_step(make_batch(method.plan), END)
    other.load_state_dict(method.state_dict())
    other.move(other.fabric.device)
    images = make_batch(method.plan).plain_images
    mine, theirs = (one.predict(images, False, True).native for one in (method, other))
    assert set(mine) == set(theirs) == {item.key for item in method.native_maps}
    for key, found in mine.items():
        torch.testing.assert_close(found, theirs[key])


def test_before_the_first_step_there_is_nothing_to_be_like(build, make_batch):
    method = build("cpcl")
    maps = method.predict(make_batch(method.plan).plain_images, uncertainty=False, native=True)
    assert set(maps.native) == {"teacher_prediction"}


def test_a_checkpoint_without_running_prototypes_loads_and_forgets_the_decoders_ones(build):
    """Such checkpoints have prototypes of decoder features whatever the setting says."""
    for feature, kept in (("bottleneck", False), ("decoder", True)):
        method = build("cpcl", {"feature": feature})
        state = method.state_dict() | {"prototypes": torch.ones(3, 4)}
        del state["banks"]
        method.load_state_dict(state)
        assert (method.prototypes is not None) == kept
