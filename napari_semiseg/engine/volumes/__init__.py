"""Scans and labels in and out of NIfTI, NRRD, MetaImage and DICOM, on their own grids."""

from napari_semiseg.engine.volumes.geometry import Geometry, NiftiForms, describe_difference
from napari_semiseg.engine.volumes.reading import read_label, read_volume
from napari_semiseg.engine.volumes.scans import ScanSource, find_scans
from napari_semiseg.engine.volumes.volume import LabelVolume, Volume
from napari_semiseg.engine.volumes.writing import write_label, write_map

__all__ = [
    "Geometry",
    "LabelVolume",
    "NiftiForms",
    "ScanSource",
    "Volume",
    "describe_difference",
    "find_scans",
    "read_label",
    "read_volume",
    "write_label",
    "write_map",
]
