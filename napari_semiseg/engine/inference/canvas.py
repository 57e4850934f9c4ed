"""The weighted sums of windows that overlap, for the few rows that windows still reach.

Windows come row by row along the first axis. What is finished leaves; what remains moves up, so that
memory does not grow with the scan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from napari_semiseg.engine.volumes.large_arrays import allocate, release

SIGMA = 0.25  # of the patch
SMALLEST_WEIGHT = 1e-3


def gaussian_weights(patch: tuple[int, ...]) -> np.ndarray:
    """Weight of each voxel of a window, 1 in the centre and never 0."""
    weights = np.ones(patch, np.float32)
    for axis, extent in enumerate(patch):
        distance = (np.arange(extent) - (extent - 1) / 2) / max(SIGMA * extent, 1e-6)
        profile = np.exp(-0.5 * distance**2).astype(np.float32)
        weights *= profile.reshape([-1 if other == axis else 1 for other in range(len(patch))])
    return np.maximum(weights, SMALLEST_WEIGHT)


class Canvas:
    """A stretch of rows in which windows are blended.

    Parameters
    ----------
    batches : sequence of sequence of tuple of int
        Where the windows begin, in the order in which they will come.
    """

    def __init__(
        self,
        extents: tuple[int, ...],
        patch: tuple[int, ...],
        batches: Sequence[Sequence[tuple[int, ...]]],
    ) -> None:
        self._extents = extents
        self._weights = gaussian_weights(patch)
        reach = max(batch[-1][0] - batch[0][0] + patch[0] for batch in batches)
        self._depth = min(extents[0], reach)
        self._first = 0  # row of the scan that is the first one here
        self._sums: np.ndarray | None = None
        self._total = allocate((self._depth, *extents[1:]), np.float32)

    def add(self, place: tuple[int, ...], values: np.ndarray) -> None:
        """Add a window that begins at ``place``, (channels, *patch) float32."""
        if self._sums is None:
            shape = (len(values), self._depth, *self._extents[1:])
            self._sums = allocate(shape, np.float32)
        here, inside = [], []
        for axis, (start, size) in enumerate(zip(place, values.shape[1:], strict=True)):
            low, high = max(0, start), min(self._extents[axis], start + size)
            shift = self._first if axis == 0 else 0
            here.append(slice(low - shift, high - shift))
            inside.append(slice(low - start, high - start))
        weights = self._weights[tuple(inside)]
        self._sums[(slice(None), *here)] += values[(slice(None), *inside)] * weights
        self._total[tuple(here)] += weights
        release(self._sums)

    def finish(self, until: int, empty: np.ndarray) -> Iterator[np.ndarray]:
        """Hand over the rows before ``until``, which no later window reaches, and forget them.

        Parameters
        ----------
        empty : ndarray
            (channels,) values of voxels that no window reached.

        Yields
        ------
        ndarray
            (channels, rows, ., .), without rows where none is finished; several where windows were
            left out. Each is gone when the next one is asked for.
        """
        assert self._sums is not None
        while True:
            rows = min(self._depth, max(0, until - self._first))
            finished, total = self._sums[:, :rows], self._total[:rows]
            unseen = total == 0
            total[unseen] = 1.0
            for channel, value in zip(finished, empty, strict=True):
                channel /= total
                channel[unseen] = value
                release(self._sums)
            yield finished
            self._forget(rows)
            if self._first >= until:
                return

    def _forget(self, rows: int) -> None:
        """Move what is not finished up, over the first ``rows``."""
        if rows == 0:
            return
        assert self._sums is not None
        for channel in (*self._sums, self._total):
            channel[: self._depth - rows] = channel[rows:]
            channel[self._depth - rows :] = 0
            release(channel)
        self._first += rows
