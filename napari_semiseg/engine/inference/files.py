"""The maps of a case as files on the scan's own grid, for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.maps import CaseMaps
from napari_semiseg.engine.volumes import write_label, write_map

NOTICE = "RESEARCH_USE_ONLY.txt"


def write_maps(folder: Path, maps: CaseMaps, class_names: Mapping[int, str]) -> dict[str, Path]:
    """Write ``CASE_prediction.nii.gz``, ``CASE_uncertainty.nii.gz`` and so on.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    maps : CaseMaps
        Maps with several channels, such as signed distances (mm) and similarities with one a class,
        have them as the fourth axis.
    class_names : mapping of int to str
        What the values of the prediction and of other maps of classes mean, written beside them.

    Returns
    -------
    dict of str to Path
        The file of each kind of map.

    Raises
    ------
    StudyError
        The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NOTICE).write_text(
            "Made by a model. For research use only; not a medical device.\n", encoding="utf-8"
        )
    except OSError as problem:
        raise StudyError(
            f"The folder {folder} cannot be written ({problem.strerror}); choose another."
        ) from problem
    files = {}
    for kind, array in maps.arrays().items():
        path = folder / f"{maps.case}_{kind}.nii.gz"
        if maps.description(kind).look == "classes":
            write_label(path, array, maps.geometry, class_names)
        else:
            write_map(path, array, maps.geometry)
        files[kind] = path
    return files
