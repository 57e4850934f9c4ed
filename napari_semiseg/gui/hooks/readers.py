"""Opening medical scans, label files and studies in napari (*File > Open*, drag and drop).

napari calls these on the main thread. Scans and labels lie on the grid of their file, which travels
in the layer's metadata so that a label can be written back exactly. Neither torch nor Qt is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from napari_semiseg.engine.errors import BadLabel, StudyError
from napari_semiseg.engine.study import DEFAULT_COLOURS, ClassInfo, Study
from napari_semiseg.engine.volumes import (
    LabelVolume,
    ScanSource,
    find_scans,
    read_label,
    read_volume,
)
from napari_semiseg.engine.volumes.formats import image_suffix
from napari_semiseg.gui.viewer.layer_data import LayerData, label_layer, scan_layers

Paths = str | Path | Sequence[str | Path]
Reader = Callable[[Paths], list[LayerData] | list[tuple[None]]]

PLUGIN = "napari-semiseg"
WIDGET = "Semi-supervised segmentation"

MOST_LABEL_VALUES = 12
"""A file of whole numbers with no more different values than this is taken for a label."""

STUDY_SUFFIX = ".semiseg"
FILES_LOOKED_AT = 64
NO_LAYERS: list[tuple[None]] = [(None,)]
"""What napari takes for "opened, but there is nothing to add"."""


def get_scan_reader(path: Paths) -> Reader | None:
    """Return a reader for image files and DICOM files, or None where one of them is neither."""
    is_ours = all(image_suffix(item) is not None or _is_dicom(item) for item in _as_paths(path))
    return read_scans if is_ours else None


def get_folder_reader(path: Paths) -> Reader | None:
    """Return a reader for studies and DICOM folders, or None for any other folder."""
    folders = _as_paths(path)
    if len(folders) == 1 and folders[0].suffix == STUDY_SUFFIX:
        return read_study
    return read_scans if all(_holds_dicom(folder) for folder in folders) else None


def read_scans(path: Paths) -> list[LayerData]:
    """Read scans and labels as layers: an image layer a channel, a labels layer for a label.

    Parameters
    ----------
    path : str, Path or sequence of them
        Image files, DICOM files or folders; channel files ``NAME_0000``, ``NAME_0001`` … that are
        opened together become one scan.

    Returns
    -------
    list of LayerData
        Arrays (z, y, x) with the spacing in mm as scale.

    Raises
    ------
    BadScan
        A file cannot be read; the sentence says which and why.
    """
    layers: list[LayerData] = []
    for source in find_scans(_as_paths(path)):
        label = _as_label(source)
        if label is None:
            layers += scan_layers(source.name, read_volume(source))
        else:
            layers.append(_label_file_layer(source.name, label))
    return layers


def read_study(path: Paths) -> list[LayerData] | list[tuple[None]]:
    """Open a study in the dock; where there is no window, return its first case as layers.

    Parameters
    ----------
    path : str, Path or sequence with one of them
        A folder ``NAME.semiseg``.

    Returns
    -------
    list
        Nothing to add where the dock shows the study itself, else scan and label of the first case.

    Raises
    ------
    StudyError
        The folder is no study, or the study has no scans yet.
    """
    folder = _as_paths(path)[0]
    if open_dock(folder):
        return NO_LAYERS
    with Study.open(folder) as study:
        cases = study.cases()
        if not cases:
            raise StudyError(f"The study {study.name} has no scans yet: add some to it first.")
        case = cases[0]
        label = study.labels.load(case.name)
        return [
            *scan_layers(case.name, study.scans.read(case.name)),
            label_layer(case.name, label, case.geometry, study.classes),
        ]


def open_dock(study: Path | None = None) -> bool:
    """Open the dock in the current viewer, on a study where one is given.

    Returns
    -------
    bool
        False where napari runs without a window.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return False
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    if study is not None:
        widget.session.open_study.open(study)
    return True


def _as_paths(path: Paths) -> list[Path]:
    several = [path] if isinstance(path, str | os.PathLike) else path
    return [Path(item) for item in several]


def _is_dicom(path: Path) -> bool:
    """Tell DICOM files by the four letters after their preamble."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _holds_dicom(folder: Path) -> bool:
    files = (file for file in folder.rglob("*") if file.is_file())
    return any(_is_dicom(file) for file in islice(files, FILES_LOOKED_AT))


def _as_label(source: ScanSource) -> LabelVolume | None:
    """Return a file as a label where it names classes or holds few whole numbers, else None."""
    if source.kind != "file":
        return None
    try:
        label = read_label(source.paths[0])
    except BadLabel:
        return None  # not whole numbers, or several channels: a scan
    if label.class_names:
        return label
    values = np.count_nonzero(np.bincount(label.voxels.ravel()))
    return label if values <= MOST_LABEL_VALUES else None


def _label_file_layer(name: str, label: LabelVolume) -> LayerData:
    """Return the layer of a label file, with the names that it gives to its values."""
    present = np.flatnonzero(np.bincount(label.voxels.ravel()))
    values = sorted({*label.class_names, *present.tolist()} - {0})
    classes = [
        ClassInfo(
            value,
            label.class_names.get(value, f"class {value}"),
            DEFAULT_COLOURS[index % len(DEFAULT_COLOURS)],
        )
        for index, value in enumerate(values)
    ]
    voxels, arguments, kind = label_layer(name, label.voxels, label.geometry, classes)
    return voxels, {**arguments, "name": name}, kind
