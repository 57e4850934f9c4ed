"""What the desk loads in the background while people look around. Without Qt; runs on a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_semiseg.engine.methods.contract import Method
    from napari_semiseg.engine.planning.machine import Machine


def load_engine() -> tuple[dict[str, type[Method]], Machine]:
    """Load the methods, and whatever would hold up the first layer, save or turn of the camera.

    Returns
    -------
    methods : dict of str to type of Method
        Every method by its key.
    machine : Machine
        What there is to train on.
    """
    import nibabel  # noqa: F401
    import pandas  # noqa: F401
    import pint
    import scipy.ndimage
    import scipy.spatial.transform  # noqa: F401
    import skimage.color
    import skimage.exposure  # noqa: F401
    import zarr  # noqa: F401

    from napari_semiseg.engine.methods.registry import available_methods
    from napari_semiseg.engine.planning.machine import describe_machine

    pint.get_application_registry().Unit("mm")  # reads all units there are
    return available_methods(), describe_machine()
