"""Image files that are a header only, and the files beside them that hold the voxels."""

from __future__ import annotations

from pathlib import Path

HEADERS = {".mhd": ("ElementDataFile", "="), ".nhdr": ("data file", ":")}
"""Ending of a header to the field that names the voxels' file, and what stands behind its name."""

HEADER_BYTES = 65536


def detached_data(path: Path) -> tuple[Path, ...]:
    """Return the files that hold the voxels of a MetaImage or NRRD header.

    Returns
    -------
    tuple of Path
        None for files that hold their voxels themselves, and for headers that number their files by
        a pattern.

    Raises
    ------
    OSError
        If the header cannot be read.
    """
    field = HEADERS.get(path.suffix.lower())
    if field is None:
        return ()
    with open(path, "rb") as stream:
        lines = stream.read(HEADER_BYTES).decode("latin-1").splitlines()
    name, sign = field
    for index, line in enumerate(lines):
        key, found, value = line.partition(sign)
        if not found or key.strip().lower() != name.lower():
            continue
        named = [value.strip()]
        if value.split()[:1] == ["LIST"]:
            named = [rest.strip() for rest in lines[index + 1 :] if rest.strip()]
        return tuple(
            path.parent / each for each in named if each and each != "LOCAL" and "%" not in each
        )
    return ()
