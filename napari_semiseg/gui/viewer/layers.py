"""The layers of the case on the screen: its scan, the label that a human paints, the maps of a run.

Nothing else in the program touches ``viewer.layers``. The layer objects that were made are kept and
never looked for by name, so whatever else the user opens is left alone. Main thread only. A label on
show is replaced together with its layer, never refreshed: napari's undo would write old strokes into
new data.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import Case, ClassInfo
from napari_semiseg.engine.volumes import Volume
from napari_semiseg.gui.viewer.comparison_stack import ComparisonStack
from napari_semiseg.gui.viewer.label_edits import LabelEdits
from napari_semiseg.gui.viewer.layer_data import LayerData, label_layer, map_layers, scan_layers
from napari_semiseg.gui.viewer.layer_stack import LayerStack
from napari_semiseg.gui.viewer.map_stack import MapStack, refresh
from napari_semiseg.gui.viewer.split_view import SplitView
from napari_semiseg.gui.viewer.turns import Later, at_the_next_turn
from napari_semiseg.gui.viewer.view_direction import point_camera

if TYPE_CHECKING:
    from napari.components import Dims, ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_semiseg.engine.inference.maps import CaseMaps

PREVIEW_SECONDS = 2.0
"""Previews that come sooner after the last one are not drawn."""

BRUSH_SHARE = 0.05
"""Diameter of the first brush as a share of the larger in-plane extent."""


class CaseLayers:
    """The layers of one case at a time.

    Parameters
    ----------
    later : callable
        Has the next of several layers shown; by default when the event loop comes round.

    Attributes
    ----------
    label_edited : psygnal.Signal
        Emitted with the `PaintedBox` once per stroke, fill, undo and redo in the human's label, when
        the event loop comes round and the voxels have really changed; also at the latest before the
        layer is replaced. Emitted with None after `take_in`.
    looks_changed : psygnal.Signal
        Emitted after layers came or went, or one of them has other voxels or another look; also
        during a stroke.
    maps_arrived : psygnal.Signal
        Emitted after a map came onto the screen later than it was asked for.
    """

    label_edited = Signal(object)
    looks_changed = Signal()
    maps_arrived = Signal()

    def __init__(self, viewer: ViewerModel, later: Later = at_the_next_turn) -> None:
        self._viewer = viewer
        self._stack = LayerStack(viewer.layers, self.looks_changed.emit)
        self._case: Case | None = None
        self._scans: list[Image] = []
        self._label: Labels | None = None
        self._maps = MapStack(self._stack, later, self.maps_arrived.emit)
        self._comparison = ComparisonStack(self._stack, SplitView(viewer), later)
        self._marks: list[Layer] = []
        self._staying: list[Layer] = []
        self._last_preview = -np.inf
        self._edits = LabelEdits(viewer.dims, self.label_edited.emit)
        viewer.dims.events.order.connect(self._on_order)
        self.label_edited.connect(lambda: self.looks_changed.emit())  # napari tells of no undo

    @property
    def case_name(self) -> str | None:
        """Name of the case on show."""
        return None if self._case is None else self._case.name

    @property
    def label_layer(self) -> Labels | None:
        """The layer that the human paints in; None where there is none, or the user removed it."""
        return self._label if self._label in self._stack else None

    @property
    def viewer(self) -> ViewerModel:
        """The viewer; its list of layers is for this class alone."""
        return self._viewer

    @property
    def dims(self) -> Dims:
        """How the viewer cuts its layers, and at which point in mm."""
        return self._viewer.dims

    @property
    def scans(self) -> list[Image]:
        """The layers of the scan, one a channel; those that the user removed are not among them."""
        return [layer for layer in self._scans if layer in self._stack]

    def visible_layers(self) -> list[Layer]:
        """Return what shows on the screen, from the lowest to the uppermost; also the user's own."""
        return self._stack.visible()

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

    def tell_edits(self) -> None:
        """Emit `label_edited` now, if the human's label has an edit that was not told yet."""
        self._edits.tell()

    def take_in(self, label: np.ndarray) -> None:
        """Show what others have made of the human's label, (z, y, x); it is given away."""
        self._edits.take_in(label)

    def map_layers(self) -> dict[str, Layer]:
        """Return the layers of maps on show.

        Returns
        -------
        dict
            Keys as in `layer_data.map_layers`, such as ``"prediction"`` and ``"signed_distance:1"``.
        """
        return self._maps.shown

    @property
    def maps_complete(self) -> bool:
        """Whether no map that was asked for is still to come."""
        return self._maps.complete

    def begin_case(self, name: str, volume: Volume) -> bool:
        """Bring a scan alone onto a screen that has none; `show_case` is to follow a turn later.

        The first layers of a viewer take napari long: scan and label at once would be felt.

        Returns
        -------
        bool
            False where a scan is on the screen already, and nothing was done.
        """
        if self._scans:
            return False
        self._scans = [self._stack.add(data) for data in scan_layers(name, volume)]
        return True

    def show_case(
        self,
        case: Case,
        volume: Volume,
        label: np.ndarray | None,
        classes: Sequence[ClassInfo],
        maps_follow: bool = False,
    ) -> None:
        """Show a case in place of the one before; other layers of the user stay.

        Parameters
        ----------
        label : ndarray, shape (z, y, x), or None
            What a human has painted so far. It is given away: the layer gets a copy, and what is
            told of edits is written into this array.
        maps_follow : bool
            Whether `show_maps` or `clear_maps` comes next: the layers of the maps on show then wait
            for it, empty, or as they are where the case is the same. Else they are taken off.
        """
        self.show_comparison((), beside=False)
        mode = "pan_zoom" if self.label_layer is None else str(self.label_layer.mode)
        shown = self._case
        again = (
            shown is not None and shown.name == case.name and shown.geometry.matches(case.geometry)
        )
        camera = self._viewer.scene.camera
        centre, zoom, point = camera.center, camera.zoom, tuple(self._viewer.dims.point)
        scans = self.scans
        former = self._let_go()
        self._case = case
        with self._stack.at_once():
            self._scans = self._exchange_scans(scans, scan_layers(case.name, volume), again)
            above = next((mark for mark in self._staying if mark in self._stack), None)
            data = label_layer(case.name, label, volume.geometry, classes)
            self._label = self._stack.add(data, below=above)
            # only now: without any layer the sliders would go and come
            self._stack.take_off(layer for layer in former if layer not in self._scans)
            self._label.name = data[1]["name"]  # the one of before may have had it till now
            if not maps_follow:
                self._maps.clear()
            elif not again:
                self._maps.wait(volume.geometry)
        self._label.brush_size = max(1, round(BRUSH_SHARE * max(self._label.data.shape[1:])))
        known = np.zeros(volume.geometry.shape, np.uint8) if label is None else label
        self._edits.watch(self._label, classes, known)
        self._label.mode = mode if mode in ("paint", "erase", "fill") else "pan_zoom"
        self._stack.active = self._label
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
        """
        self._show(maps, classes, run=run, step=None)

    def show_preview(self, maps: CaseMaps, classes: Sequence[ClassInfo], step: int) -> None:
        """Show the maps of a model in training; other maps are taken off.

        Skipped in 3D display, where drawing takes long, and within 2 s of the last preview.

        Parameters
        ----------
        maps : CaseMaps
            Maps of the case on show; maps of another case are ignored.
        """
        now = time.monotonic()
        if self._viewer.dims.ndisplay == 3 or now - self._last_preview < PREVIEW_SECONDS:
            return
        if self._show(maps, classes, run=None, step=step):
            self._last_preview = now

    def show_chosen_preview(self, maps: CaseMaps, classes: Sequence[ClassInfo], step: int) -> None:
        """Show a preview that the user asks for, however soon after the last one.

        Parameters
        ----------
        maps, classes, step
            As for `show_preview`.
        """
        self._show(maps, classes, run=None, step=step)

    def clear_maps(self) -> None:
        """Take the maps off the screen."""
        self._maps.clear()

    def finish(self) -> None:
        """Let no more layers come: the viewer closes."""
        self._maps.stop()
        self._comparison.stop()

    @property
    def compares(self) -> bool:
        """Whether layers of a comparison are on the screen, or on their way there."""
        return self._comparison.shown

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
        own = [*self._scans, *([] if self.label_layer is None else [self.label_layer])]
        if cells and self.label_layer is not None:
            self.label_layer.mode = "pan_zoom"  # a stroke would go under what is compared
        self._comparison.show(cells if own else (), own, beside, self._beside_comparison)

    def _beside_comparison(self) -> list[Layer]:
        label = [] if self.label_layer is None else [self.label_layer]
        return [*self.scans, *label, *self.map_layers().values(), *self._marks, *self._staying]

    def add_mark(self, data: LayerData, stays: bool = False) -> Layer:
        """Add a layer on top that belongs to the case on show.

        Parameters
        ----------
        data : LayerData
            The layer; it is not the one that the user works in.
        stays : bool
            Whether it stays for the next case, which its owner then fits it to; else it goes with
            its case.
        """
        with self._stack.active_kept():
            mark: Layer = self._stack.add(data)
        (self._staying if stays else self._marks).append(mark)
        return mark

    def remove_mark(self, mark: Layer) -> None:
        """Take a layer off that `add_mark` added; nothing where it went with its case already."""
        self._marks = [other for other in self._marks if other is not mark]
        self._staying = [other for other in self._staying if other is not mark]
        self._stack.take_off([mark])

    def clear(self) -> None:
        """Take the case off the screen; an edit that was not told yet is told first."""
        self.show_comparison((), beside=False)
        with self._stack.at_once():
            self._maps.clear()
            self._comparison.clear()
            self._stack.take_off([*self._let_go(), *self._staying])
        self._staying = []
        point_camera(self._viewer, None)

    def paint_with(self, value: int) -> None:
        """Select the label layer and the brush, with the class ``value`` (0 paints background)."""
        layer = self.label_layer
        if layer is None:
            return
        self._stack.active = layer
        layer.selected_label = value
        layer.mode = "paint"

    def _let_go(self) -> list[Layer]:
        """Forget the case; return its layers, which are still on the screen."""
        self._edits.let_go()
        former = [*self._scans, *self._marks]
        if self._label is not None:
            former.append(self._label)
        self._case, self._scans, self._label, self._marks = None, [], None, []
        return former

    def _exchange_scans(
        self, scans: list[Image], wanted: Sequence[LayerData], again: bool
    ) -> list[Image]:
        """Put a scan into the layers of the one before where they fit, which takes half the time.

        Nobody paints there. They keep what the user chose for them, and for the same scan all of it.
        """
        if len(scans) != len(wanted):
            return [self._stack.add(data) for data in wanted]
        for layer, data in zip(scans, wanted, strict=True):
            if not again:
                refresh(layer, data)
                layer.scale = data[1]["scale"]
                layer.contrast_limits_range = data[1]["contrast_limits"]
                layer.contrast_limits = data[1]["contrast_limits"]
        return scans

    def _show(self, maps: CaseMaps, classes: Sequence[ClassInfo], **origin: Any) -> bool:
        """Show maps in place of those on show; tell whether they were for this case."""
        if maps.case != self.case_name:
            return False
        self._maps.show(dict(map_layers(maps, classes, **origin)), lambda: self.label_layer)
        return True

    def _look_at(
        self, label: np.ndarray | None, shape: Sequence[int], spacing: Sequence[float]
    ) -> None:
        """Fit the case into the canvas and go into the label where it is widest, else to the middle."""
        self._viewer.reset_view(layers=self._scans)
        point = [length // 2 for length in shape]
        if label is not None and label.any():
            index = int(np.argmax(np.count_nonzero(label, axis=(1, 2))))
            point = [index, *(int(np.median(marked)) for marked in np.nonzero(label[index]))]
        self._viewer.dims.set_point(range(3), np.multiply(point, spacing))

    def _on_order(self) -> None:
        if self._case is not None:
            point_camera(self._viewer, self._case.geometry)
