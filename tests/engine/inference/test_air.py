"""Air is left out only where surely nothing is."""

import numpy as np
import pytest

from napari_semiseg.engine.inference.air import AirBlocks
from napari_semiseg.engine.volumes import large_arrays

WHOLE = (slice(0, 48), slice(0, 64), slice(0, 64))
CORNER = (slice(0, 16),) * 3
MIDDLE = (slice(20, 28), slice(28, 36), slice(28, 36))


def body(noise=0.0, tissue=1.0, shape=(48, 64, 64)):
    """Return an image (1, z, y, x) of a cylinder of tissue in noisy air."""
    random = np.random.default_rng(0)
    _, y, x = np.meshgrid(*[np.arange(extent) for extent in shape], indexing="ij")
    inside = (y - 32) ** 2 + (x - 32) ** 2 < 22**2
    # magnitude images have the noise of the two parts of a complex number
    parts = random.normal(0, noise, (2, *shape)) if noise else np.zeros((2, *shape))
    return np.hypot(inside * tissue + parts[0], parts[1]).astype(np.float32)[None]


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.04])
def test_the_corners_around_the_body_are_air_and_the_body_is_not(noise):
    air = AirBlocks.of(body(noise))
    assert air.fill((*CORNER[:1], slice(0, 8), slice(0, 8)))
    assert not air.fill(MIDDLE)
    assert not air.fill(WHOLE)


def test_a_dark_organ_inside_the_body_is_no_air():
    image = body()
    image[0, 12:36, 20:44, 20:44] = 0
    assert not AirBlocks.of(image).fill((slice(20, 28), slice(28, 36), slice(28, 36)))


def test_a_dark_organ_that_the_end_of_the_scan_cuts_is_no_air():
    image = body()
    image[0, :16, 20:44, 20:44] = 0
    assert not AirBlocks.of(image).fill((slice(0, 8), slice(28, 36), slice(28, 36)))


def test_a_speck_of_tissue_in_the_air_is_looked_at():
    image = body()
    image[0, 6:8, 4:6, 4:6] = 1
    assert not AirBlocks.of(image).fill((slice(0, 16), slice(0, 8), slice(0, 8)))


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_scan_of_one_value_has_no_air(value):
    assert not AirBlocks.of(np.full((1, 20, 20, 20), value, np.float32)).blocks.any()


def test_a_crop_of_tissue_has_no_air():
    image = np.random.default_rng(0).normal(0.5, 0.1, (1, 40, 48, 32)).astype(np.float32)
    assert not AirBlocks.of(image).blocks.any()


def test_what_is_dark_in_one_channel_only_is_no_air():
    image = np.concatenate([body(), np.ones_like(body())])
    image[1, 0, 0, 0] = 0
    assert not AirBlocks.of(image).blocks.any()


def test_the_slabs_in_which_a_scan_is_read_change_nothing(monkeypatch):
    image = body(0.02)[:, :, :61, :50]
    whole = AirBlocks.of(image).blocks
    assert whole.any()
    monkeypatch.setattr(large_arrays.slabs, "__defaults__", (0, 20_000))
    np.testing.assert_array_equal(AirBlocks.of(image).blocks, whole)


def test_a_single_slice_is_fine():
    image = body()[:, :1]
    assert AirBlocks.of(image).fill((slice(0, 1), slice(0, 8), slice(0, 8)))
