"""Short stops for Python's garbage collector while the desk is open.

napari collects all garbage whenever a layer goes, and so does Python now and then. Among the millions
of objects of the libraries that takes up to a second, in which nothing is drawn; among what came after
them, milliseconds. So what is there when the libraries are loaded is passed over while the desk is on
show; hidden, it may be on its way to be thrown away. The dock widget calls this, on the main thread.
"""

from __future__ import annotations

import gc


class ShortCollections:
    """Lets the collector pass over what is loaded, and look at everything again in the end."""

    def __init__(self) -> None:
        self._begun = False

    def begin(self) -> None:
        """Pass over all objects there are, a scan on the screen among them, until `end`."""
        if not self._begun:
            self._begun = True
            gc.freeze()

    def end(self) -> None:
        """Look at everything again, so that what belonged to the desk can go."""
        if self._begun:
            self._begun = False
            gc.unfreeze()
