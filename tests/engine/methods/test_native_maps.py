"""Maps of a method's own: made where they are asked for, of the shape and range that they claim."""

import pytest
import torch

from napari_semiseg.engine.methods.contract import Clock

pytestmark = pytest.mark.trains

KEYS = ("mean-teacher", "ua-mt", "dtc", "dtml", "ug-mcl", "cpcl", "reciprocal")
END = Clock(step=900, share=0.95, warm_start_share=0.35)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("preset", ["modern", "paper"])
@pytest.mark.parametrize(("dimensions", "classes"), [(3, 2), (2, 4)])
def test_native_maps_have_the_shape_and_the_range_of_their_look(
    build, make_batch, key, preset, dimensions, classes
):
    method = build(key, preset=preset, dimensions=dimensions, classes=classes)
    method.training_step(make_batch(method.plan, 1, 1), END)
    images = make_batch(method.plan, 1, 2).plain_images
    found = method.predict(images, uncertainty=False, native=True).native
    channels = {"one": 1, "foreground": classes - 1, "classes": classes}
    low = {"classes": 0.0, "share": 0.0, "distance": -1.0, "similarity": -1.0}
    assert set(found) == {item.key for item in method.native_maps}
    for item in method.native_maps:
        values = found[item.key]
        assert values.shape == (3, channels[item.channels], *method.plan.spatial), item.key
        assert values.dtype == torch.float32
        assert low[item.look] <= values.min() <= values.max() <= item.limit + 1e-6, item.key
        assert not values.requires_grad
        if item.look == "classes":
            torch.testing.assert_close(values.sum(dim=1), torch.ones_like(values[:, 0]))


@pytest.mark.parametrize("key", KEYS)
def test_nothing_extra_is_made_where_it_is_not_asked_for(build, make_batch, key, monkeypatch):
    method = build(key, preset="paper")
    method.training_step(make_batch(method.plan), END)
    passes = []
    for network in method.networks().values():
        network.register_forward_hook(lambda *_: passes.append(1))
    images = make_batch(method.plan).plain_images
    plain = method.predict(images, uncertainty=False)
    assert plain.native == {}
    assert plain.uncertainty is None
    assert plain.disagreement is None
    assert len(passes) == (2 if key == "dtml" else 1)  # DTML's distance is the partner's


@pytest.mark.parametrize("key", KEYS)
def test_two_answers_are_compared_where_uncertainty_is_asked_for(build, make_batch, key):
    method = build(key)
    method.training_step(make_batch(method.plan), END)
    maps = method.predict(make_batch(method.plan).plain_images)
    assert maps.native == {}
    assert maps.disagreement.shape == (4, *method.plan.spatial)
    assert 0 <= maps.disagreement.min() <= maps.disagreement.max() <= 1


@pytest.mark.parametrize("key", KEYS)
def test_maps_leave_the_method_as_it_was(build, make_batch, key):
    method = build(key, preset="paper")
    method.training_step(make_batch(method.plan), END)
    before = {
        (name, part): value.clone()
        for name, network in method.networks().items()
        for part, value in network.state_dict().items()
    }
    method.predict(make_batch(method.plan).plain_images, native=True)
    for name, network in method.networks().items():
        for part, value in network.state_dict().items():
            assert torch.equal(value, before[name, part]), (name, part)
