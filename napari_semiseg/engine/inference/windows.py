"""Sliding-window inference on the model grid with Gaussian weights (spec §5), in bounded memory.

Windows have the training patch's size, because instance normalisation depends on it, and are spread
evenly. They go along the slices of the scan's file: rows that no later window reaches are finished,
handed over and forgotten, so that no more than the depth of a window or two is ever held. A
generator, so that the caller may stop, report or draw a preview between two windows.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass

import numpy as np

from napari_semiseg.engine.inference.air import AirBlocks
from napari_semiseg.engine.inference.canvas import Canvas
from napari_semiseg.engine.inference.maps import MAP_KINDS
from napari_semiseg.engine.inference.window_answers import WindowAnswers
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.volumes.large_arrays import allocate, release

OVERLAP = 0.5


@dataclass(frozen=True, eq=False)
class BlendedRows:
    """Rows of all maps that are finished, and how far the whole is.

    Attributes
    ----------
    share : float
        Share of the windows that are done.
    values : ndarray
        (channels, rows, ., .) float32 of the model grid with the walking axis first, the rows that
        follow those of before; none, one or many. Valid until the next ones are asked for.
    channels : dict of str to int
        How many of the channels each map has, in order; ``"probabilities"`` is first.
    """

    share: float
    values: np.ndarray
    channels: dict[str, int]


def window_starts(extent: int, patch: int, overlap: float = OVERLAP) -> list[int]:
    """Spread windows evenly over an axis so that neighbours overlap by at least ``overlap``."""
    if extent <= patch:
        return [0]
    stride = max(1, int(patch * (1 - overlap)))
    count = -(-(extent - patch) // stride) + 1
    return sorted({round(start) for start in np.linspace(0, extent - patch, count)})


def blend(
    method: Method,
    image: np.ndarray,
    kinds: Collection[str] = MAP_KINDS,
    overlap: float = OVERLAP,
    axis: int = 0,
    air: AirBlocks | None = None,
) -> Iterator[BlendedRows]:
    """Run ``method`` over a whole scan and hand over the maps row by row.

    Parameters
    ----------
    image : ndarray
        (channels, z, y, x) normalised, on the model grid; may be memory-mapped.
    kinds : collection of str
        Which of `every_kind` are wanted besides the probabilities.
    overlap : float
        Share of a window that its neighbour sees again, 0…1.
    axis : int
        Spatial axis of ``image`` along which to walk.
    air : AirBlocks, optional
        Windows that lie in the air of these blocks are background without being looked at.

    Yields
    ------
    BlendedRows
        After each batch of windows.
    """
    answers = WindowAnswers(method, image, kinds, axis)
    places = _places(answers.extents, answers.patch, overlap)
    if air is not None:
        # the first window is looked at in any case: it tells which maps there are
        places = [
            place for place in places if place == places[0] or not air.fill(answers.box(place))
        ]
    batch = method.plan.window_batch
    batches = [places[first : first + batch] for first in range(0, len(places), batch)]
    canvas = Canvas(answers.extents, answers.patch, batches)
    for index, asked in enumerate(batches):
        for place, values in zip(asked, answers.of(asked), strict=True):
            canvas.add(place, values)
        release(image)
        last = index + 1 == len(batches)
        until = answers.extents[0] if last else batches[index + 1][0][0]
        share = (index + 1) / len(batches)
        for values in canvas.finish(until, answers.values_in_air):
            yield BlendedRows(share, values, answers.channels)


def slide(
    method: Method,
    image: np.ndarray,
    kinds: Collection[str] = MAP_KINDS,
    overlap: float = OVERLAP,
) -> Generator[float, None, dict[str, np.ndarray]]:
    """Run ``method`` over a whole scan and gather the maps on the model grid.

    Parameters
    ----------
    method, image, kinds, overlap
        As for `blend`.

    Returns
    -------
    dict of str to ndarray
        By key, (channels, z, y, x) float32 of the size of ``image``: ``"probabilities"``, and those of
        the maps that were asked for that the method makes.
    """
    gathered: np.ndarray | None = None
    done, channels = 0, {"probabilities": method.plan.classes}
    for rows in blend(method, image, kinds, overlap):
        channels = rows.channels
        if gathered is None:
            gathered = allocate((sum(channels.values()), *image.shape[1:]), np.float32)
        gathered[:, done : done + rows.values.shape[1]] = rows.values
        done += rows.values.shape[1]
        release(gathered)
        yield rows.share
    assert gathered is not None
    return split(gathered, channels)


def split(values: np.ndarray, channels: dict[str, int]) -> dict[str, np.ndarray]:
    """Return the channels of each map, by its name."""
    ends = itertools.accumulate(channels.values())
    return {
        key: values[end - count : end]
        for end, (key, count) in zip(ends, channels.items(), strict=True)
    }


def _places(
    extents: tuple[int, ...], patch: tuple[int, ...], overlap: float
) -> list[tuple[int, ...]]:
    """Return where windows begin, those of the first rows first; below 0 in scans that are short."""
    starts = []
    for extent, size in zip(extents, patch, strict=True):
        before = max(0, size - extent) // 2
        starts.append([start - before for start in window_starts(extent, size, overlap)])
    return list(itertools.product(*starts))
