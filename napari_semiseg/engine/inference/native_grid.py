"""The maps of a scan on its own grid, made slab by slab as rows of the model grid are finished.

All maps of a few slices are interpolated together; of the probabilities only the most probable class
stays. No map of all classes is ever held but the ones that are wanted, and those lie in files where
they are large.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_semiseg.engine.inference.maps import MAPS, NativeArray
from napari_semiseg.engine.inference.windows import BlendedRows, split
from napari_semiseg.engine.methods.native_maps import NativeMap
from napari_semiseg.engine.sampling.model_grid import ModelGrid, Slab, WayBack
from napari_semiseg.engine.volumes.large_arrays import SLAB_VOXELS, allocate


class NativeMaps:
    """Gathers the maps of one scan.

    Parameters
    ----------
    grid : ModelGrid
        How the grids correspond.
    class_values : sequence of int
        Value of each foreground class.
    own : sequence of NativeMap
        The maps that only this method makes.
    numbers : int
        Bound on channels × voxels of one slab.

    Attributes
    ----------
    arrays : dict of str to ndarray
        What has been gathered: ``"prediction"`` (z, y, x) uint8 class values, the others
        (channels, z, y, x) float32, or (z, y, x) uint8 for maps of classes.
    """

    def __init__(
        self,
        grid: ModelGrid,
        class_values: Sequence[int],
        own: Sequence[NativeMap] = (),
        numbers: int = SLAB_VOXELS,
    ) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._grid = grid
        self._table = np.array([0, *class_values], np.uint8)
        self._own = {item.key: item for item in own}
        self._way_back = WayBack(grid, numbers)

    def add(self, rows: BlendedRows) -> None:
        """Take the next finished rows; none is fine."""
        if rows.values.shape[1] == 0:
            return
        for slab in self._way_back.add(rows.values):
            for key, values in split(slab.values.numpy(), rows.channels).items():
                self._put(key, slab, values)

    def shared_maps(self) -> dict[str, np.ndarray]:
        """Return the maps of `MAPS` by key, those of one channel without that axis."""
        return {key: self._squeezed(key, item) for key, item in MAPS.items() if key in self.arrays}

    def own_maps(self) -> dict[str, NativeArray]:
        """Return the maps of the method's own by key, those of one channel without that axis."""
        return {
            key: NativeArray(self._squeezed(key, item), item)
            for key, item in self._own.items()
            if key in self.arrays
        }

    def _squeezed(self, key: str, description: NativeMap) -> np.ndarray:
        array = self.arrays[key]
        alone = description.channels == "one" and description.look != "classes"
        return array[0] if alone else array

    def _put(self, key: str, slab: Slab, values: np.ndarray) -> None:
        key = "prediction" if key == "probabilities" else key
        description = self._own[key] if key in self._own else MAPS[key]
        if description.look == "classes":
            native = self._array(key, (), np.uint8)
            slab.place(self._grid, native, self._table[values.argmax(0)])
            return
        look = description.drawn
        native = self._array(key, (len(values),), np.float32)
        slab.place(self._grid, native, values.clip(look.lowest, look.highest))

    def _array(self, key: str, channels: tuple[int, ...], dtype: type) -> np.ndarray:
        if key not in self.arrays:
            self.arrays[key] = allocate((*channels, *self._grid.native_shape), dtype)
        return self.arrays[key]
