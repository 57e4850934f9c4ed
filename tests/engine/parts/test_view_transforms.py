import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_semiseg.engine.parts.view_transforms import (
    ANTERIOR,
    AXIAL,
    CORONAL,
    RIGHT,
    SAGITTAL,
    SUPERIOR,
    View,
    Zoom,
    apply_each,
    flip,
    quarter_turns,
    random_view,
    slices_first,
    undo_each,
    upright,
)

PLANES = (AXIAL, CORONAL, SAGITTAL)


def numbered(*shape):
    return torch.arange(float(torch.tensor(shape).prod())).reshape(shape)


@st.composite
def views_and_crops(draw):
    dimensions = draw(st.sampled_from([2, 3]))
    order = tuple(draw(st.permutations(range(dimensions))))
    backwards = frozenset(draw(st.sets(st.integers(0, dimensions - 1))))
    leading = draw(st.lists(st.integers(1, 3), max_size=2))
    spatial = draw(st.lists(st.integers(1, 5), min_size=dimensions, max_size=dimensions))
    return View(order, backwards), numbered(*leading, *spatial)


@given(views_and_crops())
@settings(max_examples=200, deadline=None)
def test_undoing_a_view_gives_the_crop_back(view_and_crop):
    view, crop = view_and_crop
    seen = view.apply(crop)
    spatial = crop.shape[crop.dim() - len(view.order) :]
    assert tuple(seen.shape[seen.dim() - len(view.order) :]) == view.reorder(spatial)
    assert torch.equal(view.undo(seen), crop)


@given(views_and_crops(), st.data())
@settings(max_examples=200, deadline=None)
def test_two_views_make_one(view_and_crop, data):
    first, crop = view_and_crop
    dimensions = len(first.order)
    order = tuple(data.draw(st.permutations(range(dimensions))))
    second = View(order, frozenset(data.draw(st.sets(st.integers(0, dimensions - 1)))))
    both = first.then(second)
    assert torch.equal(both.apply(crop), second.apply(first.apply(crop)))
    assert torch.equal(both.undo(both.apply(crop)), crop)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("count", range(-1, 5))
def test_quarter_turns_are_those_of_torch(plane, count):
    crop = numbered(2, 3, 4, 5)
    turned = quarter_turns(3, plane, count).apply(crop)
    assert torch.equal(turned, torch.rot90(crop, count, plane))


def test_axes_have_the_same_names_in_2d_and_3d():
    volume = numbered(3, 4, 5)
    assert torch.equal(flip(3, RIGHT).apply(volume), volume.flip(2))
    assert torch.equal(flip(3, SUPERIOR).apply(volume), volume.flip(0))
    assert torch.equal(flip(2, RIGHT).apply(volume[0]), volume[0].flip(1))
    assert torch.equal(quarter_turns(2, AXIAL, 1).apply(volume[0]), torch.rot90(volume[0]))


def test_slices_come_first_in_the_three_anatomical_views():
    volume = numbered(3, 4, 5)
    assert slices_first(SUPERIOR) == upright(3)
    assert torch.equal(slices_first(ANTERIOR).apply(volume)[1], volume[:, 1])
    assert torch.equal(slices_first(RIGHT).apply(volume)[2], volume[:, :, 2])
    assert slices_first(RIGHT).reorder(("z", "y", "x")) == ("x", "z", "y")


@given(st.lists(st.integers(1, 6), min_size=2, max_size=3), st.booleans(), st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_a_random_view_keeps_the_shape_and_can_be_undone(spatial, flips, seed):
    torch.manual_seed(seed)
    planes = PLANES if len(spatial) == 3 else (AXIAL,)
    views = [random_view(spatial, planes, flips) for _ in range(3)]
    assert all(view.keeps_shape(spatial) for view in views)
    crops = numbered(3, 2, *spatial)
    assert torch.equal(undo_each(views, apply_each(views, crops)), crops)


@pytest.mark.parametrize(
    ("spatial", "flips", "sides"),
    [((5, 4, 4), True, 8), ((5, 4, 4), False, 4), ((5, 4, 6), True, 4), ((5, 4, 6), False, 2)],
)
def test_every_symmetry_of_the_plane_is_drawn(spatial, flips, sides):
    torch.manual_seed(0)
    drawn = [random_view(spatial, (AXIAL,), flips) for _ in range(400)]
    assert len(set(drawn)) == sides
    assert min(drawn.count(view) for view in set(drawn)) > 200 / sides


def test_gradients_pass_through_a_view():
    crops = torch.randn(2, 3, 4, 4, requires_grad=True)
    views = [quarter_turns(2, AXIAL, 1), flip(2, RIGHT)]
    weight = torch.randn(2, 3, 4, 4)
    (undo_each(views, apply_each(views, crops)) * weight).sum().backward()
    torch.testing.assert_close(crops.grad, weight)


@given(st.sampled_from([(9, 12), (7, 9, 12)]), st.floats(0.8, 1.2))
@settings(max_examples=50, deadline=None)
def test_a_zoom_is_undone_where_it_has_seen(spatial, factor):
    """A linear slope is interpolated exactly, but for the outermost voxels of the smaller crop."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, size) for size in spatial], indexing="ij")
    crop = sum((index + 1) * axis for index, axis in enumerate(axes))[None, None]
    zoom = Zoom(torch.tensor([factor]))
    back = zoom.undo(zoom.apply(crop))
    seen = zoom.seen(spatial)
    inner = seen & Zoom(torch.tensor([1.5 * max(factor, 1 / factor)])).seen(spatial)
    assert inner.any()
    torch.testing.assert_close(back[0, 0][inner[0]], crop[0, 0][inner[0]], atol=1e-4, rtol=0)


def test_a_zoom_above_one_enlarges_and_does_not_see_the_border():
    crop = torch.zeros(1, 1, 20, 20)
    crop[..., 8:12, 8:12] = 1
    zoom = Zoom(torch.tensor([1.25]))
    assert zoom.apply(crop).sum() == pytest.approx(16 * 1.25**2, rel=0.02)
    seen = zoom.seen((20, 20))[0]
    assert seen[2:18, 2:18].all()
    assert not seen[0].any()
    assert not seen[:, -1].any()


def test_each_crop_has_a_zoom_of_its_own():
    torch.manual_seed(0)
    zoom = Zoom.draw(200, 0.1, torch.device("cpu"))
    assert 0.9 <= zoom.factors.min() < 0.92
    assert 1.08 < zoom.factors.max() <= 1.1
    crops = torch.randn(2, 1, 8, 8)
    both = Zoom(torch.tensor([1.0, 1.2])).apply(crops)
    torch.testing.assert_close(both[0], crops[0])
    assert not torch.allclose(both[1], crops[1], atol=0.1)
