r"""What a network has said about each case so far (temporal ensembling, spec §7.14).

For each case and each voxel of its model grid a running mean of predictions,
:math:`Z \leftarrow a Z + (1 - a) p` from zero, and the number :math:`n` of visits; the mean without
the weight of that zero is :math:`Z / (1 - a^n)`. Crops are read and written where their voxels were
cut from the case, whatever turned, bent or scaled them.

A case takes 2 (C − 1) + 1 bytes a voxel: the background is what the foreground leaves. Its grid grows
with the positions seen, so that no sizes need be known; large memories lie in temporary files. Values
are kept in steps of 1/1024, float16's own just below 1. Voxels that are surely background are then
exactly 0, so that a checkpoint packs a case to a fraction of its size without any loss, and a run
that is resumed continues exactly. A loaded case stays packed until it is asked for: to predict with a
checkpoint costs no more memory than its file. It does hold predictions of the unlabelled cases, which
prediction does not need.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 1024
MOST_VISITS = 255  # with a momentum of at most 0.9, aⁿ is 0 long before
SLACK = 8  # voxels that a grid grows beyond what is needed, so that it rarely grows
IN_MEMORY = 512 * 2**20  # bytes of all cases together; further grids are memory-mapped files
HALF = 0.5 - 1e-4  # a voxel just between two neighbours is known if one of them is

Box = tuple[slice, ...]


@dataclass(eq=False)
class CaseMemory:
    """Running means of one case.

    Attributes
    ----------
    sums : ndarray
        (C − 1, z, y, x) float16, Z of the foreground classes, 0…1.
    visits : ndarray
        (z, y, x) uint8, n, at most 255.
    """

    sums: np.ndarray
    visits: np.ndarray


class PredictionMemory:
    """Running means of a network's predictions for every case that it has met.

    Parameters
    ----------
    momentum : float
        a, how much of the old mean stays at each visit, 0…0.9.
    """

    def __init__(self, classes: int, momentum: float) -> None:
        self.classes, self.momentum = classes, momentum
        self._cases: dict[str, CaseMemory] = {}
        self._packed: dict[str, dict[str, Any]] = {}
        weights = 1.0 - momentum ** np.arange(MOST_VISITS + 1.0)
        weights[0] = 1.0  # never visited: nothing is divided by zero, and nothing used
        self._weights = weights.astype(np.float32)

    def recall(self, case: str, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Read the mean predictions of a case.

        Parameters
        ----------
        positions : Tensor
            (*spatial, 3) voxel positions in the case, (z, y, x).

        Returns
        -------
        probabilities : Tensor
            (C, *spatial) float32 on the device of ``positions``, interpolated between the visited
            voxels around each position; 0 where none is known.
        known : Tensor
            (*spatial) bool, where visited voxels have at least half of the interpolation's weight.
        """
        flat = positions.detach().reshape(-1, 3).float().cpu()
        memory = self._get(case)
        if memory is None or not len(flat):
            return self._shaped(torch.zeros(self.classes + 1, len(flat)), positions)
        box = _box(flat.floor().amin(0).numpy(), flat.ceil().amax(0).numpy(), memory.visits.shape)
        visits = np.asarray(memory.visits[box])
        if not visits.any():
            return self._shaped(torch.zeros(self.classes + 1, len(flat)), positions)
        foreground = memory.sums[(slice(None), *box)].astype(np.float32) / self._weights[visits]
        visited = (visits > 0).astype(np.float32)[None]
        background = np.maximum(visited - foreground.sum(axis=0), 0.0)
        block = torch.from_numpy(np.concatenate([background, foreground, visited]))
        low = torch.tensor([float(along.start) for along in box])
        size = torch.tensor([float(extent) for extent in visits.shape])
        grid = (((flat - low) * 2 + 1) / size - 1).flip(-1).reshape(1, 1, 1, -1, 3)
        read = F.grid_sample(block[None], grid, padding_mode="zeros", align_corners=False)
        return self._shaped(read.reshape(self.classes + 1, -1), positions)

    def _shaped(self, read: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Divide sums (C + 1, voxels) by the weight in their last row, and shape them as the crop."""
        weight = read[-1]
        known = weight >= HALF
        probabilities = torch.where(known, read[:-1] / weight.clamp_min(HALF), 0.0)
        shape = positions.shape[:-1]
        device = positions.device
        return probabilities.reshape(-1, *shape).to(device), known.reshape(shape).to(device)

    def remember(self, case: str, positions: Tensor, probabilities: Tensor) -> None:
        """Add a prediction to the running means of a case, each voxel to the nearest of the grid.

        A voxel of the grid that is nearest to several of the crop gets their mean, and one visit.
        What lies before the first voxel of the case, or is not a number, is left out.

        Parameters
        ----------
        positions : Tensor
            (*spatial, 3) voxel positions in the case, (z, y, x).
        probabilities : Tensor
            (C, *spatial) in 0…1, taken as constants.
        """
        flat = positions.detach().reshape(-1, 3).float().cpu()
        values = probabilities.detach()[1:].float().cpu().reshape(self.classes - 1, -1)
        nearest = flat.round().long()
        counted = (nearest >= 0).all(dim=1) & values.isfinite().all(dim=0)
        nearest, values = nearest[counted], values[:, counted]
        if not len(nearest):
            return
        low, high = nearest.amin(0), nearest.amax(0)
        memory = self._grown(case, tuple((high + 1).tolist()))
        box = _box(low.numpy(), high.numpy(), memory.visits.shape)
        size = (high - low + 1).tolist()
        offset = nearest - low
        index = (offset[:, 0] * size[1] + offset[:, 1]) * size[2] + offset[:, 2]
        voxels = int(np.prod(size))
        counts = torch.zeros(voxels).index_add_(0, index, torch.ones(len(index)))
        sums = torch.zeros(len(values), voxels).index_add_(1, index, values)
        mean = (sums / counts.clamp_min(1)).reshape(-1, *size).numpy()
        hit = (counts > 0).reshape(size).numpy()
        _blend(memory, box, mean, hit, self.momentum)

    def _get(self, case: str) -> CaseMemory | None:
        """Return what is known of a case, unpacked."""
        if case in self._packed:
            packed = self._packed.pop(case)
            shape = tuple(packed["shape"])
            memory = self._allocate(shape)
            memory.sums[:] = _unpack(packed["sums"], np.float16, (self.classes - 1, *shape))
            memory.visits[:] = _unpack(packed["visits"], np.uint8, shape)
            self._cases[case] = memory
        return self._cases.get(case)

    def _grown(self, case: str, needed: tuple[int, ...]) -> CaseMemory:
        """Return what is known of a case, on a grid of at least ``needed`` voxels."""
        old = self._get(case)
        have = old.visits.shape if old is not None else (0, 0, 0)
        if old is not None and all(want <= size for want, size in zip(needed, have, strict=True)):
            return old
        shape = tuple(
            size if want <= size else want + SLACK for want, size in zip(needed, have, strict=True)
        )
        memory = self._allocate(shape)
        if old is not None:
            box = tuple(slice(0, size) for size in have)
            memory.sums[(slice(None), *box)] = old.sums
            memory.visits[box] = old.visits
        self._cases[case] = memory
        return memory

    def _allocate(self, shape: tuple[int, ...]) -> CaseMemory:
        used = sum(memory.sums.nbytes + memory.visits.nbytes for memory in self._cases.values())
        in_memory = used + int(np.prod(shape)) * (2 * self.classes - 1) <= IN_MEMORY
        sums = _zeros((self.classes - 1, *shape), np.float16, in_memory)
        return CaseMemory(sums, _zeros(shape, np.uint8, in_memory))

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Return each case packed: its grid, and both arrays as compressed bytes."""
        fresh = {
            case: {
                "shape": list(memory.visits.shape),
                "sums": _pack(memory.sums),
                "visits": _pack(memory.visits),
            }
            for case, memory in self._cases.items()
        }
        return self._packed | fresh

    def load_state_dict(self, state: Mapping[str, dict[str, Any]]) -> None:
        """Restore what `state_dict` returned; a case is unpacked when it is asked for."""
        self._cases = {}
        self._packed = dict(state)


def _box(first: np.ndarray, last: np.ndarray, shape: tuple[int, ...]) -> Box:
    """Make slices from ``first`` to ``last`` inclusive, as far as they lie within ``shape``."""
    starts = np.clip(first, 0, shape).astype(int)
    stops = np.clip(last + 1, starts, shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))


def _blend(
    memory: CaseMemory, box: Box, mean: np.ndarray, hit: np.ndarray, momentum: float
) -> None:
    """Move the running means in ``box`` towards ``mean`` (C − 1, z, y, x) where it was ``hit``."""
    old = memory.sums[(slice(None), *box)]
    moved = momentum * old.astype(np.float32) + (1 - momentum) * mean
    stepped = np.round(moved * STEPS) / STEPS
    memory.sums[(slice(None), *box)] = np.where(hit, stepped, old)
    visits = memory.visits[box]
    memory.visits[box] = np.minimum(visits.astype(np.uint16) + hit, MOST_VISITS)


def _zeros(shape: tuple[int, ...], dtype: Any, in_memory: bool) -> np.ndarray:
    if in_memory:
        return np.zeros(shape, dtype)
    # The system deletes the file as soon as the array, its last user, is gone.
    with tempfile.TemporaryFile(prefix="semiseg-") as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


def _pack(array: np.ndarray) -> Tensor:
    packed = zlib.compress(np.ascontiguousarray(array).data, level=1)
    return torch.frombuffer(bytearray(packed), dtype=torch.uint8)


def _unpack(packed: Tensor, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    content = zlib.decompress(packed.cpu().numpy().tobytes())
    return np.frombuffer(content, dtype).reshape(shape)
