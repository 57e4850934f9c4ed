"""What a label file calls its classes: NRRD segments, or a JSON file beside the label.

NRRD segmentations carry ``Segment0_Name`` and ``Segment0_LabelValue``; for every other format the
names lie in NAME.json as ``{"labels": {name: value}}``, as nnU-Net writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_semiseg.engine.errors import BadLabel
from napari_semiseg.engine.volumes.formats import image_stem

SEGMENT_NAME = re.compile(r"Segment(\d+)_Name")


def segments_to_names(metadata: Mapping[str, str]) -> dict[int, str]:
    """Return the class names in the key/value pairs of an NRRD header, by class value."""
    names: dict[int, str] = {}
    for key, name in metadata.items():
        match = SEGMENT_NAME.fullmatch(key)
        value = metadata.get(f"Segment{match[1]}_LabelValue", "") if match else ""
        if value.strip().isdecimal():
            names[int(value)] = name
    return dict(sorted(names.items()))


def names_to_segments(class_names: Mapping[int, str]) -> dict[str, str]:
    """Return the NRRD key/value pairs that name the classes; background (0) is no segment."""
    metadata: dict[str, str] = {}
    classes = sorted((value, name) for value, name in class_names.items() if value != 0)
    for index, (value, name) in enumerate(classes):
        metadata[f"Segment{index}_ID"] = f"Segment_{value}"
        metadata[f"Segment{index}_Name"] = name
        metadata[f"Segment{index}_LabelValue"] = str(value)
        metadata[f"Segment{index}_Layer"] = "0"
    return metadata


def sidecar_path(label: Path) -> Path:
    """Return the JSON file that belongs to a label: NAME.json for NAME.nii.gz."""
    return label.with_name(f"{image_stem(label)}.json")


def sidecar_text(sidecar: Path, class_names: Mapping[int, str]) -> str:
    """Return the new content of ``sidecar``: its old entries, with "labels" set anew.

    Raises
    ------
    BadLabel
        The file exists and is no JSON object, so that its content would be lost.
    """
    content = _load(sidecar)
    content["labels"] = {name: int(value) for value, name in sorted(class_names.items())}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_sidecar(label: Path) -> dict[int, str]:
    """Return the class names beside a label file, by value; empty where there are none.

    Both ``{"name": value}`` and the older ``{"value": "name"}`` are understood; entries of other
    kinds (nnU-Net's regions) name no single class and are left out.

    Raises
    ------
    BadLabel
        The sidecar exists but is no JSON object.
    """
    labels = _load(sidecar_path(label)).get("labels")
    names: dict[int, str] = {}
    for key, entry in labels.items() if isinstance(labels, dict) else ():
        if isinstance(entry, int) and not isinstance(entry, bool):
            names[entry] = key
        elif isinstance(entry, str) and key.isdecimal():
            names[int(key)] = entry
    return dict(sorted(names.items()))


def _load(sidecar: Path) -> dict[str, Any]:
    if not sidecar.exists():
        return {}
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadLabel(
            f"{sidecar} beside a label is not readable JSON; correct it or move it away ({error})."
        ) from error
    if not isinstance(content, dict):
        raise BadLabel(f"{sidecar} beside a label is no JSON object; correct it or move it away.")
    return content
