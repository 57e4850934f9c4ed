"""Views of a crop that can be undone: flips, quarter turns, other axes first, zoom (spec §4.10).

A `View` moves whole voxels, so undoing it gives back exactly what went in; a `Zoom` interpolates and
therefore also says which voxels it has seen. Spatial axes are those of the model grid, (z, y, x) or
(y, x): z runs towards superior, y towards anterior, x towards the patient's right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

SUPERIOR, ANTERIOR, RIGHT = -3, -2, -1
"""Spatial axes from the last one, so that they name the same direction in 2D and 3D."""
Plane = tuple[int, int]
AXIAL: Plane = (ANTERIOR, RIGHT)
CORONAL: Plane = (SUPERIOR, RIGHT)
SAGITTAL: Plane = (SUPERIOR, ANTERIOR)
Size = TypeVar("Size")


@dataclass(frozen=True)
class View:
    """Spatial axes in another order, some of them run backwards: every flip and quarter turn.

    Attributes
    ----------
    order : tuple of int
        For each axis of the view, which spatial axis of the crop it is; 0 is the first spatial one.
    backwards : frozenset of int
        Axes of the view that run against the crop's.
    """

    order: tuple[int, ...]
    backwards: frozenset[int] = frozenset()

    def apply(self, crop: Tensor) -> Tensor:
        """Look at a crop, or a batch, from this side.

        Parameters
        ----------
        crop : Tensor
            (..., *spatial) of any type; leading axes stay.

        Returns
        -------
        Tensor
            (..., *spatial in the view's order).
        """
        leading = crop.dim() - len(self.order)
        turned = crop.permute(*range(leading), *(leading + axis for axis in self.order))
        return turned.flip([leading + axis for axis in sorted(self.backwards)])

    def undo(self, seen: Tensor) -> Tensor:
        """Bring maps (..., *spatial in the view's order) back to how the crop lay."""
        leading = seen.dim() - len(self.order)
        forwards = seen.flip([leading + axis for axis in sorted(self.backwards)])
        places = [leading + self.order.index(axis) for axis in range(len(self.order))]
        return forwards.permute(*range(leading), *places)

    def reorder(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """Sort what belongs to the crop's spatial axes (sizes, strides) as the view sees them."""
        return tuple(sizes[axis] for axis in self.order)

    def then(self, following: View) -> View:
        """Return the one view that does as this one and then ``following`` do."""
        backwards = {
            axis
            for axis, earlier in enumerate(following.order)
            if (earlier in self.backwards) != (axis in following.backwards)
        }
        return View(following.reorder(self.order), frozenset(backwards))

    def keeps_shape(self, spatial: Sequence[int]) -> bool:
        """Tell whether a crop of the size ``spatial`` has the same size in this view."""
        return self.reorder(spatial) == tuple(spatial)


def upright(dimensions: int) -> View:
    """Return the view that changes nothing, in 2 or 3 dimensions."""
    return View(tuple(range(dimensions)))


def flip(dimensions: int, axis: int) -> View:
    """Run one axis backwards; it is counted from the last, such as `RIGHT`."""
    return View(tuple(range(dimensions)), frozenset({axis % dimensions}))


def quarter_turns(dimensions: int, plane: Plane, count: int) -> View:
    """Turn by ``count`` quarters from the first axis of ``plane`` to the second, as `torch.rot90`."""
    first, second = (axis % dimensions for axis in plane)
    order = list(range(dimensions))
    if count % 2:
        order[first], order[second] = second, first
    backwards = ((), (first,), (first, second), (second,))[count % 4]
    return View(tuple(order), frozenset(backwards))


def slices_first(normal: int) -> View:
    """Return the 3D view whose slices are cut across the axis ``normal``.

    `SUPERIOR` gives axial slices, and changes nothing; `ANTERIOR` coronal and `RIGHT` sagittal ones.
    """
    axis = normal % 3
    return View((axis, *(other for other in range(3) if other != axis)))


def random_view(spatial: Sequence[int], planes: Sequence[Plane], flips: bool = True) -> View:
    """Draw a view in which a crop keeps its shape.

    In each plane one axis is flipped or not, and then the crop is turned by 0 to 3 quarters; where
    the plane is not square, by 0 or 2. All of them are equally likely, so in one plane each of its
    symmetries is. The numbers come from PyTorch's own stream on the CPU.

    Parameters
    ----------
    planes : sequence of (int, int)
        Such as `AXIAL`.
    flips : bool
        Whether mirror images are allowed.
    """
    dimensions = len(spatial)
    view = upright(dimensions)
    for plane in planes:
        mirrored, quarters = torch.randint(2, ()).item(), int(torch.randint(4, ()).item())
        if spatial[plane[0]] != spatial[plane[1]]:
            quarters = 2 * (quarters % 2)
        if flips and mirrored:
            view = view.then(flip(dimensions, plane[1]))
        view = view.then(quarter_turns(dimensions, plane, quarters))
    return view


def apply_each(views: Sequence[View], crops: Tensor) -> Tensor:
    """Look at crop i of (B, ..., *spatial) from ``views[i]``; all views must keep the shape."""
    return torch.stack([view.apply(crop) for view, crop in zip(views, crops, strict=True)])


def undo_each(views: Sequence[View], maps: Tensor) -> Tensor:
    """Bring map i of (B, ..., *spatial) back from ``views[i]``; gradients pass."""
    return torch.stack([view.undo(each) for view, each in zip(views, maps, strict=True)])


@dataclass(frozen=True, eq=False)
class Zoom:
    """Each crop of a batch enlarged about its centre, by a factor of its own.

    Attributes
    ----------
    factors : Tensor
        (B,) above 1 where things become larger, and the border of the crop is not seen.
    """

    factors: Tensor

    @classmethod
    def draw(cls, crops: int, reach: float, device: torch.device) -> Zoom:
        """Draw factors between 1 − ``reach`` and 1 + ``reach``, all equally likely."""
        return cls((1 + reach * (2 * torch.rand(crops) - 1)).to(device))

    def apply(self, crops: Tensor) -> Tensor:
        """Enlarge crops (B, channels, *spatial); beyond their border, the border's value."""
        grid = self._grid(1 / self.factors, crops.shape[2:])
        return _read(crops, grid)

    def undo(self, maps: Tensor) -> Tensor:
        """Bring maps (B, channels, *spatial) back to the crops' size; see `seen`."""
        return _read(maps, self._grid(self.factors, maps.shape[2:]))

    def seen(self, spatial: Sequence[int]) -> Tensor:
        """Tell which voxels (B, *spatial) of the crops lie within the enlarged ones."""
        return self._grid(self.factors, spatial).abs().amax(dim=-1) <= 1

    def _grid(self, factors: Tensor, spatial: Sequence[int]) -> Tensor:
        """Where to read, (B, *spatial, dimensions) with −1…1 from border to border."""
        dimensions = len(spatial)
        scaled = factors.float().reshape(-1, 1, 1) * torch.eye(dimensions, device=factors.device)
        matrices = torch.cat([scaled, torch.zeros_like(scaled[..., :1])], dim=-1)
        return F.affine_grid(matrices, [len(factors), 1, *spatial], align_corners=False)


def _read(crops: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(crops.float(), grid, padding_mode="border", align_corners=False)
