"""Short stops for Python's garbage collector while the desk is open.

napari collects all garbage whenever a layer goes, and so does Python now and then. Among the millions
of objects of the libraries that takes up to a second, in which nothing is drawn; among what came after
them, milliseconds. So what is there when the libraries are loaded is passed over while the desk is on
show, and what a collection left after it took long, too: more libraries come with the first training.
Hidden, the desk may be on its way to be thrown away. Main thread only.
"""

from __future__ import annotations

import gc
import time

LONG_SECONDS = 0.05


class ShortCollections:
    """Lets the collector pass over what is loaded, and look at everything again in the end."""

    def __init__(self) -> None:
        self._begun = False
        self._started = 0.0

    def begin(self) -> None:
        """Pass over all objects there are, a scan on the screen among them, until `end`."""
        if not self._begun:
            self._begun = True
            gc.freeze()
            gc.callbacks.append(self._on_collection)

    def end(self) -> None:
        """Look at everything again, so that what belonged to the desk can go."""
        if self._begun:
            self._begun = False
            gc.callbacks.remove(self._on_collection)
            gc.unfreeze()

    def _on_collection(self, phase: str, details: dict[str, int]) -> None:
        if details["generation"] < 2:
            return
        if phase == "start":
            self._started = time.perf_counter()
        elif time.perf_counter() - self._started > LONG_SECONDS:
            gc.freeze()  # what is left is in use
