"""The camera of the scripted session: pictures of each page in both themes, and an animated GIF.

What it does is no part of what a user would wait for, so the meter of the session pauses meanwhile.
Used by `docs.make_session`.
"""

from __future__ import annotations

import io
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtCore import QBuffer
from qtpy.QtWidgets import QApplication

from tests.measurements.event_loop_lag import LagMeter, run_event_loop

THEMES = ("light", "dark")
"""The last one is that of the session."""

GIF_WIDTH = 900
GIF_COLOURS = 192
FRAME_MS = 550
LAST_FRAME_MS = 2500
MOST_BYTES = 3_000_000
SETTLE_SECONDS = 0.4


class Camera:
    """Takes pictures of the whole window.

    Parameters
    ----------
    viewer : napari.Viewer
        Of which.
    meter : LagMeter
        Pauses while a picture is taken.
    folder : Path or None
        Where the pictures of the pages go; None takes none.
    """

    def __init__(self, viewer: napari.Viewer, meter: LagMeter, folder: Path | None) -> None:
        self._viewer = viewer
        self._meter = meter
        self._folder = folder
        self._frames: list[Image.Image] = []
        self._count = 0
        viewer.theme = THEMES[-1]

    def picture(self, name: str) -> None:
        """Take the page in both themes, for a person to look at, and a frame of the GIF."""
        if self._folder is not None:
            self._count += 1
            with self._meter.paused():
                for theme in THEMES:
                    self._viewer.theme = theme
                    self._take().save(self._folder / f"{self._count:02d}-{name}-{theme}.png")
        self.frame()

    def frame(self) -> None:
        """Take a frame of the GIF."""
        with self._meter.paused():
            taken = self._take()
            height = round(taken.height * GIF_WIDTH / taken.width)
            self._frames.append(taken.resize((GIF_WIDTH, height), Image.Resampling.LANCZOS))

    def _take(self) -> Image.Image:
        """Take what is on the screen: drawing the window anew would meet napari's fading messages."""
        run_event_loop(SETTLE_SECONDS)
        window = self._viewer.window._qt_window
        place, size = window.mapToGlobal(window.rect().topLeft()), window.size()
        screen = QApplication.primaryScreen()
        taken = screen.grabWindow(0, place.x(), place.y(), size.width(), size.height())
        buffer = QBuffer()
        buffer.open(QBuffer.OpenModeFlag.WriteOnly)
        taken.save(buffer, "PNG")
        return Image.open(io.BytesIO(bytes(buffer.data()))).convert("RGB")

    def write_gif(self, path: Path) -> int:
        """Write the frames with one palette for all, and return the size of the file in bytes.

        Raises
        ------
        RuntimeError
            The file is larger than a README should ask its readers to load.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        palette = _common_palette(self._frames)
        frames = [
            frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self._frames
        ]
        durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
        frames[0].save(
            path,
            save_all=True,
            append_images=frames[1:],
            duration=durations,
            loop=0,
            optimize=True,
        )
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise RuntimeError(f"{path} has {size / 1e6:.1f} MB: take fewer frames")
        return size


def _common_palette(frames: list[Image.Image]) -> Image.Image:
    """Return the colours that suit a few frames from the whole session."""
    chosen = frames[:: max(1, len(frames) // 8)]
    width, height = chosen[0].size
    sheet = Image.new("RGB", (width, height * len(chosen)))
    for place, frame in enumerate(chosen):
        sheet.paste(frame, (0, place * height))
    # an octree keeps the colours of the classes, which are few pixels among greys
    return sheet.quantize(GIF_COLOURS, method=Image.Quantize.FASTOCTREE)
