"""Random changes of crops: geometric ones while the crop is cut, intensity ones on the batch.

Every random number comes from the generator that is passed in, so that a step of training is a pure
function of the seed and the step.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ROTATION = math.radians(20)
LOG_SCALE = 0.22
ELASTIC_DEVIATION = 1.8  # voxels
ELASTIC_POINTS = (4, 5, 4)
THICK = 2.0  # slices thicker than this times the pixel are rotated within the slice only


def _uniform(generator: torch.Generator, low: float, high: float, *size: int) -> Tensor:
    return torch.rand(size, generator=generator) * (high - low) + low


def _chance(generator: torch.Generator, probability: float) -> bool:
    return bool(torch.rand((), generator=generator) < probability)


def sampling_grid(
    patch: tuple[int, int, int],
    centre: np.ndarray,
    spacing: tuple[float, float, float],
    generator: torch.Generator,
) -> Tensor:
    """Draw where the voxels of a crop are read: rotated, scaled and bent around ``centre``.

    Parameters
    ----------
    patch : tuple of int
        Crop size (z, y, x).
    centre : ndarray
        Centre of the crop in voxels of the scan, (3,).
    spacing : tuple of float
        Voxel size in mm; rotations are rigid in mm.
    generator : torch.Generator
        Source of every random number.

    Returns
    -------
    Tensor
        (z, y, x, 3) positions in voxels of the scan, order (z, y, x).
    """
    axes = [torch.arange(extent, dtype=torch.float32) - (extent - 1) / 2 for extent in patch]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    millimetres = torch.tensor(spacing)
    matrix = _rotation(patch, spacing, generator)
    matrix = matrix * torch.exp(_uniform(generator, -LOG_SCALE, LOG_SCALE, 3))
    positions = (offsets * millimetres) @ matrix / millimetres
    if _chance(generator, 0.5):
        points = tuple(
            1 if extent == 1 else count for extent, count in zip(patch, ELASTIC_POINTS, strict=True)
        )
        control = torch.randn((1, 3, *points), generator=generator) * ELASTIC_DEVIATION
        bend = F.interpolate(control, patch, mode="trilinear", align_corners=True)[0]
        positions = positions + bend.permute(1, 2, 3, 0)
    if patch[0] == 1:
        positions[..., 0] = 0
    return positions + torch.as_tensor(centre, dtype=torch.float32)


def _rotation(
    patch: tuple[int, int, int], spacing: tuple[float, float, float], generator: torch.Generator
) -> Tensor:
    """Draw a rotation matrix (3, 3) in mm; within the slice only where slices are thick."""
    angles = _uniform(generator, -ROTATION, ROTATION, 3)
    if patch[0] == 1 or spacing[0] > THICK * min(spacing[1:]):
        angles[1:] = 0
    matrix = torch.eye(3)
    for axis, (first, second) in enumerate(((1, 2), (0, 2), (0, 1))):
        turn = torch.eye(3)
        cosine, sine = torch.cos(angles[axis]), torch.sin(angles[axis])
        turn[first, first], turn[second, second] = cosine, cosine
        turn[first, second], turn[second, first] = -sine, sine
        matrix = matrix @ turn
    return matrix


def read_at(
    image: np.ndarray, label: np.ndarray | None, positions: Tensor, classes: int
) -> tuple[Tensor, Tensor | None]:
    """Read an image and its label at ``positions``; outside the scan, the border's value.

    Parameters
    ----------
    image : ndarray
        (channels, z, y, x), may be memory-mapped.
    label : ndarray or None
        (z, y, x) uint8 class indices, larger ones ignored.
    positions : Tensor
        (z, y, x, 3) in voxels.

    Returns
    -------
    image : Tensor
        (channels, z, y, x) float32, trilinear.
    label : Tensor or None
        (z, y, x) int64; each class is interpolated and the largest wins.
    """
    shape = np.array(image.shape[1:])
    flat = positions.reshape(-1, 3)
    low = flat.amin(0).floor().long().numpy().clip(0, shape - 1)
    high = (flat.amax(0).ceil().long().numpy() + 1).clip(low + 1, shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    size = torch.tensor(high - low, dtype=torch.float32)
    local = (positions - torch.tensor(low, dtype=torch.float32)) * 2 + 1
    grid = (local / size - 1).flip(-1)[None]
    block = torch.from_numpy(np.asarray(image[(slice(None), *box)], dtype=np.float32))[None]
    crop = F.grid_sample(block, grid, padding_mode="border", align_corners=False)[0]
    if label is None:
        return crop, None
    indices = torch.from_numpy(np.asarray(label[box]).astype(np.int64))
    channels = classes + 1  # the last one is what is ignored
    one_hot = F.one_hot(indices.clamp(max=classes), channels).permute(3, 0, 1, 2)[None].float()
    shares = F.grid_sample(one_hot, grid, padding_mode="border", align_corners=False)[0]
    return crop, _largest(shares)


def _largest(shares: Tensor) -> Tensor:
    """Class with the largest share (classes + 1, z, y, x); the last channel becomes 255."""
    # Four times faster on the CPU than argmax over the first axis.
    best, winner = shares[0], torch.zeros(shares.shape[1:], dtype=torch.int64)
    for index in range(1, len(shares)):
        better = shares[index] > best
        best = torch.where(better, shares[index], best)
        winner = torch.where(better, 255 if index == len(shares) - 1 else index, winner)
    return winner


def change_intensities(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change contrast, brightness, blur, bias field and noise of each crop at random.

    Parameters
    ----------
    images : Tensor
        (B, channels, *spatial), normalised.
    generator : torch.Generator
        CPU generator; what it draws is moved to the images' device.
    """
    return torch.stack([_change_one(image, generator) for image in images])


def _change_one(image: Tensor, generator: torch.Generator) -> Tensor:
    device, dimensions = image.device, image.dim() - 1
    if _chance(generator, 0.5):
        low = image.amin()
        reach = (image.amax() - low).clamp_min(1e-6)
        exponent = float(torch.exp(_uniform(generator, -0.7, 0.7, 1)))
        image = ((image - low) / reach).clamp(0, 1) ** exponent * reach + low
    if _chance(generator, 0.5):
        contrast, shift = _uniform(generator, -0.3, 0.3, 2).tolist()
        image = image * (1 + contrast) + shift
    if _chance(generator, 0.3):
        pool = F.avg_pool3d if dimensions == 3 else F.avg_pool2d
        image = pool(image[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    if _chance(generator, 0.3):
        control = torch.randn((1, 1, *(3,) * dimensions), generator=generator) * 0.4
        mode = "trilinear" if dimensions == 3 else "bilinear"
        field = F.interpolate(control, image.shape[1:], mode=mode, align_corners=True)[0]
        image = image * torch.exp(field.to(device))
    deviation = float(_uniform(generator, 0.0, 0.2, 1))
    noise = torch.randn(image.shape, generator=generator)
    return image + noise.to(device) * deviation


def mirror(
    image: Tensor, label: Tensor | None, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Turn a crop by quarters within the slice and flip it, as the papers do on MR (spec §3.6).

    Unlike the papers' code, the unturned crop occurs too. Quarter turns need a square slice.

    Parameters
    ----------
    image : Tensor
        (channels, z, y, x).
    label : Tensor or None
        (z, y, x).
    generator : torch.Generator
        Source of every random number.
    """
    square = image.shape[-1] == image.shape[-2]
    quarters = int(torch.randint(4, (), generator=generator))
    quarters = quarters if square else 2 * (quarters % 2)
    flips = [axis for axis in (-1, -2) if _chance(generator, 0.5)]

    def turn(tensor: Tensor) -> Tensor:
        turned = torch.rot90(tensor, quarters, (-2, -1))
        return turned.flip(flips) if flips else turned

    return turn(image), None if label is None else turn(label)


def add_noise(images: Tensor, generator: torch.Generator) -> Tensor:
    """Add the papers' input noise, normal with deviation 0.1 clipped to ±0.2 (spec §4.5)."""
    noise = torch.randn(images.shape, generator=generator).mul_(0.1).clamp_(-0.2, 0.2)
    return images + noise.to(images.device)
