"""The scans under *File > Open Sample*.

napari calls these on the main thread. The brains come with the program; the hippocampi are
downloaded once and kept, and napari waits for them.
"""

from __future__ import annotations

from pathlib import Path

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.study import ClassInfo, parse_classes
from napari_semiseg.engine.volumes import read_label, read_volume
from napari_semiseg.engine.volumes.downloads import hippocampus_folder
from napari_semiseg.gui.layer_data import LayerData, label_layer, scan_layers
from napari_semiseg.sample_data import CLASSES, image_path, label_path, sample_cases

HIPPOCAMPUS_CLASSES = parse_classes("1=anterior hippocampus,2=posterior hippocampus")


def brain() -> list[LayerData]:
    """Return the first of the sample brains and its tissue label as layers."""
    name = sample_cases()[0]
    return labelled_scan(name, image_path(name), label_path(name), CLASSES)


def hippocampus() -> list[LayerData]:
    """Return a hippocampus of the Medical Decathlon and its label, downloading the set once.

    Raises
    ------
    BadScan
        The download failed, or the data set is not complete.
    """
    folder = hippocampus_folder()
    images = sorted((folder / "imagesTr").glob("hippocampus_*.nii.gz"))
    if not images:
        raise BadScan(f"{folder} holds no scans: delete the folder and open the sample again.")
    image = images[0]
    name = image.name.removesuffix(".nii.gz")
    return labelled_scan(name, image, folder / "labelsTr" / image.name, HIPPOCAMPUS_CLASSES)


def labelled_scan(
    name: str, image: Path, label: Path, classes: tuple[ClassInfo, ...]
) -> list[LayerData]:
    """Return a scan and its label as layers.

    Parameters
    ----------
    name : str
        Name of the case.
    image, label : Path
        Files of the scan and of the label on its grid.
    classes : tuple of ClassInfo
        What the values of the label mean.
    """
    volume = read_volume(image)
    voxels = read_label(label, scan=volume.geometry).voxels
    return [
        *scan_layers(name, volume),
        label_layer(name, voxels, volume.geometry, classes),
    ]
