"""The versions of the packages that the numbers of a run depend on."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = ("napari-semiseg", "numpy", "torch", "monai", "lightning-fabric", "SimpleITK", "zarr")


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that count, by name."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # an optional package, or the program runs from its source folder
    return versions
