"""The layers of the case on the screen: its scan, the label that a human paints, the maps of a run.

Nothing else in the program touches ``viewer.layers``. The session calls it, on the main thread. It
keeps the layer objects it made and never looks for layers by name, so whatever else the user opens
is left alone. A label on show is replaced together with its layer, never refreshed: napari's undo
would write old strokes into new data.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import Case, ClassInfo
from napari_semiseg.engine.volumes import Volume
from napari_semiseg.gui.colours import PREDICTION_CONTOUR
from napari_semiseg.gui.layer_data import TAG, LayerData, label_layer, map_layers, scan_layers
from napari_semiseg.gui.split_view import SplitView, copy_for_view
from napari_semiseg.gui.view_direction import point_camera

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_semiseg.engine.inference.maps import CaseMaps

PREVIEW_SECONDS = 2.0
"""Previews that come sooner after the last one are not drawn."""

BRUSH_SHARE = 0.05
"""Diameter of the first brush as a share of the larger in-plane extent."""


class CaseLayers:
    """The layers of one case at a time.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to show cases in.

    Attributes
    ----------
    label_edited : psygnal.Signal
        Emitted once per stroke, fill, undo and redo in the human's label, when the event loop comes
        round and the voxels have really changed; also at the latest before the layer is replaced.
    """

    label_edited = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._case: Case | None = None
        self._scans: list[Layer] = []
        self._label: Labels | None = None
        self._maps: dict[str, Layer] = {}
        self._compared: list[Layer] = []
        self._split = SplitView(viewer)
        self._last_preview = -np.inf
        self._checksum = 0
        self._slice: tuple[Any, ...] = ()
        self._class_value = 1
        # An edit is looked at when the event loop comes round: napari announces some before the
        # voxels are written, and many in one turn are one edit.
        self._edit_check = QTimer()
        self._edit_check.setSingleShot(True)
        self._edit_check.setInterval(0)
        self._edit_check.timeout.connect(self._emit_if_edited)
        viewer.dims.events.order.connect(self._on_order)

    @property
    def case_name(self) -> str | None:
        """Name of the case on show."""
        return None if self._case is None else self._case.name

    @property
    def label_layer(self) -> Labels | None:
        """The layer that the human paints in; None where there is none, or the user removed it."""
        return self._label if self._label in self._viewer.layers else None

    def label_voxels(self) -> np.ndarray:
        """Return a copy of the human's label, (z, y, x) integers.

        Raises
        ------
        StudyError
            There is no label on show.
        """
        layer = self.label_layer
        if layer is None:
            raise StudyError(
                "There is no label on the screen, or its layer was removed: choose a case in the "
                "list of scans."
            )
        return np.array(layer.data)

    def map_layers(self) -> dict[str, Layer]:
        """Return the layers of maps on show.

        Returns
        -------
        dict
            Keys as in `layer_data.map_layers`: ``"prediction"``, ``"uncertainty"``,
            ``"disagreement"``, ``"signed_distance:1"``, ``"similarity:1"``, with one entry for each
            class value, and those of the method's own maps.
        """
        return {key: layer for key, layer in self._maps.items() if layer in self._viewer.layers}

    def show_case(
        self, case: Case, volume: Volume, label: np.ndarray | None, classes: Sequence[ClassInfo]
    ) -> None:
        """Show a case in place of the one before; other layers of the user stay.

        Parameters
        ----------
        case : Case
            The case.
        volume : Volume
            Its scan.
        label : ndarray, shape (z, y, x), or None
            What a human has painted so far; copied.
        classes : sequence of ClassInfo
            Classes of the study.
        """
        self.show_comparison((), beside=False)
        mode = "pan_zoom" if self.label_layer is None else str(self.label_layer.mode)
        shown = self._case
        again = (
            shown is not None and shown.name == case.name and shown.geometry.matches(case.geometry)
        )
        camera = self._viewer.scene.camera
        centre, zoom, point = camera.center, camera.zoom, tuple(self._viewer.dims.point)
        former = self._let_go()
        self._case = case
        self._scans = [self._add(data) for data in scan_layers(case.name, volume)]
        self._label = self._add(label_layer(case.name, label, volume.geometry, classes))
        # only now: without any layer the sliders would go and come
        self._take_off(former)
        self._watch(self._label, classes)
        self._label.mode = mode if mode in ("paint", "erase", "fill") else "pan_zoom"
        self._viewer.layers.selection.active = self._label
        point_camera(self._viewer, volume.geometry)
        if again:
            self._viewer.dims.set_point(range(len(point)), point)
            camera.center, camera.zoom = centre, zoom
        else:
            self._look_at(label, volume.geometry.shape, volume.geometry.spacing)

    def show_maps(self, maps: CaseMaps, classes: Sequence[ClassInfo], run: str) -> None:
        """Show the maps of a run, in place of those on show.

        Layers that stay keep what the user chose for them (visibility, opacity, colours).

        Parameters
        ----------
        maps : CaseMaps
            Maps of the case on show; maps of another case are ignored.
        classes : sequence of ClassInfo
            Classes of the study.
        run : str
            Identifier of the run.
        """
        self._show(maps, classes, run=run, step=None)

    def show_preview(self, maps: CaseMaps, classes: Sequence[ClassInfo], step: int) -> None:
        """Show the maps of a model in training; other maps are taken off.

        Skipped in 3D display, where drawing takes long, and within 2 s of the last preview.

        Parameters
        ----------
        maps : CaseMaps
            Maps of the case on show; maps of another case are ignored.
        classes : sequence of ClassInfo
            Classes of the study.
        step : int
            Training step of the weights.
        """
        now = time.monotonic()
        if self._viewer.dims.ndisplay == 3 or now - self._last_preview < PREVIEW_SECONDS:
            return
        if self._show(maps, classes, run=None, step=step):
            self._last_preview = now

    def show_snapshot(self, maps: CaseMaps, classes: Sequence[ClassInfo], step: int) -> None:
        """Show a preview that the user asks for, however soon after the last one.

        Parameters
        ----------
        maps, classes, step
            As for `show_preview`.
        """
        self._show(maps, classes, run=None, step=step)

    def clear_maps(self) -> None:
        """Take the maps off the screen."""
        self._remove_maps(list(self._maps))

    @property
    def compares(self) -> bool:
        """Whether layers of a comparison are on the screen."""
        return bool(self._compared)

    def show_comparison(self, cells: Sequence[Sequence[LayerData]], beside: bool) -> None:
        """Show layers of compared runs on top of the case, in place of those of the last comparison.

        Parameters
        ----------
        cells : sequence of sequence of LayerData
            The layers of each run, from the lowest to the uppermost, the first run uppermost; none
            ends the comparison and gives the view back. Equally many for each run if ``beside``.
        beside : bool
            Whether each run has a view of its own, with the scan and the human's label in it.
        """
        self._take_off(self._compared)
        self._compared = []
        self._split.end()
        own = [*self._scans, *([] if self.label_layer is None else [self.label_layer])]
        if not cells or not own:
            return
        active = self._viewer.layers.selection.active
        copied = [layer for layer in own if layer.visible] if beside else []
        for number, cell in reversed(list(enumerate(cells, start=1))):
            copies = [copy_for_view(layer, number) for layer in copied]
            self._compared += [self._add(data) for data in (*copies, *cell)]
        for layer in self._compared:
            layer.editable = False
            if layer.metadata[TAG]["kind"] == "prediction":
                layer.contour = PREDICTION_CONTOUR
        if beside:
            hidden = [*own, *self.map_layers().values()]
            self._split.divide(len(cells), len(self._compared) // len(cells), hidden)
        if self.label_layer is not None:
            self.label_layer.mode = "pan_zoom"  # a stroke would go under what is compared
        if active in self._viewer.layers:
            self._viewer.layers.selection.active = active

    def clear(self) -> None:
        """Take the case off the screen; an edit that was not told yet is told first."""
        self.show_comparison((), beside=False)
        self._take_off(self._let_go())
        point_camera(self._viewer, None)

    def paint_with(self, value: int) -> None:
        """Select the label layer and the brush, with the class ``value`` (0 paints background)."""
        layer = self.label_layer
        if layer is None:
            return
        self._viewer.layers.selection.active = layer
        layer.selected_label = value
        layer.mode = "paint"

    def _let_go(self) -> list[Layer]:
        """Forget the case; return its layers, which are still on the screen."""
        if self._edit_check.isActive():
            self._edit_check.stop()
            self._emit_if_edited()
        former = [*self._scans, *self._maps.values()]
        if self._label is not None:
            former.append(self._label)
            events = self._label.events
            events.paint.disconnect(self._on_paint)
            events.set_data.disconnect(self._on_set_data)
            events.selected_label.disconnect(self._on_selected_label)
        self._case, self._scans, self._label, self._maps = None, [], None, {}
        return former

    def _take_off(self, layers: Iterable[Layer]) -> None:
        present = [layer for layer in layers if layer in self._viewer.layers]
        if not present:
            return
        # napari collects all garbage after a layer went: here once for all of them
        with self._viewer.layers.batched_update():
            for layer in present:
                self._viewer.layers.remove(layer)

    def _add(self, data: LayerData, below: Layer | None = None) -> Any:
        """Add a layer on top, or directly under another."""
        from napari.layers import Layer

        layer = Layer.create(*data)
        if below is None:
            self._viewer.layers.append(layer)
        else:
            self._viewer.layers.insert(self._viewer.layers.index(below), layer)
        return layer

    def _show(self, maps: CaseMaps, classes: Sequence[ClassInfo], **origin: Any) -> bool:
        """Add, replace and take off map layers; tell whether the maps were for this case."""
        if maps.case != self.case_name:
            return False
        wanted = dict(map_layers(maps, classes, **origin))
        present = self.map_layers()
        self._remove_maps(
            key
            for key in list(self._maps)
            if key not in wanted
            or key not in present
            or not _look_alike(self._maps[key], wanted[key])
        )
        active = self._viewer.layers.selection.active
        above: Layer | None = self.label_layer
        for key, data in reversed(wanted.items()):
            if key in self._maps:
                _refresh(self._maps[key], data)
            else:
                self._maps[key] = self._add_map(key, data, above)
            above = self._maps[key]
        if active is not None and active in self._viewer.layers:
            # a new layer becomes napari's active one, and a stroke would go into the wrong layer
            self._viewer.layers.selection.active = active
        return True

    def _add_map(self, key: str, data: LayerData, above: Layer | None) -> Layer:
        """Add a map directly under another map or the human's label, or on top of all."""
        layer = self._add(data, below=above)
        if data[2] == "labels":
            layer.editable = False
        if key == "prediction":
            layer.contour = PREDICTION_CONTOUR
        return layer

    def _remove_maps(self, keys: Iterable[str]) -> None:
        self._take_off([self._maps.pop(key) for key in keys])

    def _look_at(
        self, label: np.ndarray | None, shape: Sequence[int], spacing: Sequence[float]
    ) -> None:
        """Fit the case into the canvas and go to the slice with most label, else to the middle."""
        self._viewer.reset_view(layers=self._scans)
        index = shape[0] // 2
        if label is not None and label.any():
            index = int(np.argmax(np.count_nonzero(label, axis=(1, 2))))
        point = [index, shape[1] // 2, shape[2] // 2]
        self._viewer.dims.set_point(range(3), np.multiply(point, spacing))

    def _watch(self, layer: Labels, classes: Sequence[ClassInfo]) -> None:
        """Make a label layer ready to paint in and listen to its edits."""
        layer.brush_size = max(1, round(BRUSH_SHARE * max(layer.data.shape[1:])))
        self._values = {0, *(item.value for item in classes)}
        self._class_value = min((item.value for item in classes), default=1)
        layer.selected_label = self._class_value
        self._checksum = _checksum(layer.data)
        self._slice = self._slice_on_show()
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_set_data)
        layer.events.selected_label.connect(self._on_selected_label)

    def _slice_on_show(self) -> tuple[Any, ...]:
        dims = self._viewer.dims
        return tuple(dims.point), tuple(dims.order), dims.ndisplay

    def _on_paint(self) -> None:
        self._edit_check.start()

    def _on_set_data(self) -> None:
        # Scrolling announces new data, too. Only where the slice is the same as before can it be an
        # undo, and only then is it worth reading all voxels.
        on_show = self._slice_on_show()
        if on_show == self._slice:
            self._edit_check.start()
        self._slice = on_show

    def _on_selected_label(self) -> None:
        """Refuse values that no class has: napari would paint them, and nobody would see them."""
        layer = self.label_layer
        if layer is None:
            return
        if layer.selected_label in self._values:
            self._class_value = layer.selected_label
        else:
            layer.selected_label = self._class_value

    def _emit_if_edited(self) -> None:
        if self._label is None:
            return
        checksum = _checksum(self._label.data)
        if checksum != self._checksum:
            self._checksum = checksum
            self.label_edited.emit()

    def _on_order(self) -> None:
        if self._case is not None:
            point_camera(self._viewer, self._case.geometry)


def _look_alike(layer: Layer, data: LayerData) -> bool:
    """Tell whether a layer can take a map: another method's own map may share no more than a key."""
    own = data[1]["metadata"][TAG].get("native")
    return bool(layer.metadata.get(TAG, {}).get("native") == own)


def _refresh(layer: Layer, data: LayerData) -> None:
    """Put a newer map into its layer; nobody paints there, so its array may be exchanged."""
    voxels, arguments, _ = data
    layer.data = voxels
    layer.name = arguments["name"]
    layer.metadata = arguments["metadata"]


def _checksum(voxels: Any) -> int:
    """Return a number that changes with the voxels: 1.3 ms for 128 × 256 × 256 bytes."""
    return zlib.crc32(np.ascontiguousarray(voxels).data)
