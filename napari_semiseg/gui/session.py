"""The session of one desk: the study that is open and every part that works on it, put together.

Each part receives what it needs and none the session; what one has to tell the others are signals. Main
thread only.
"""

from __future__ import annotations

from inspect import getmembers_static
from typing import TYPE_CHECKING

from psygnal import Signal, SignalInstance

from napari_semiseg.gui.compare.comparing import ComparingRuns
from napari_semiseg.gui.label.labelling import Labelling
from napari_semiseg.gui.label.suggesting import Suggesting
from napari_semiseg.gui.open_study.background import run_in_background
from napari_semiseg.gui.open_study.lane import RunInBackground
from napari_semiseg.gui.open_study.open_study import OpenStudy
from napari_semiseg.gui.review.reviewing import Reviewing
from napari_semiseg.gui.scans.overview import Overview
from napari_semiseg.gui.scans.scans import Scans
from napari_semiseg.gui.train.runner import TrainingWorker
from napari_semiseg.gui.train.training import Training
from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
from napari_semiseg.gui.viewer.layers import CaseLayers
from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow
from napari_semiseg.gui.viewer.slices_on_show import SlicesOnShow

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Session:
    """The parts of the desk.

    Parameters
    ----------
    background : callable, optional
        In place of `run_in_background`.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        layers: CaseLayers | None = None,
        worker: TrainingWorker | None = None,
        background: RunInBackground = run_in_background,
    ) -> None:
        opened = self.open_study = OpenStudy(background)
        on_show = self.on_show = CaseOnShow(opened, layers or CaseLayers(viewer))
        maps = self.maps = MapsOnShow(opened, on_show)
        slices = self.slices = SlicesOnShow(opened, on_show)
        self.scans = Scans(opened, on_show)
        self.overview = Overview(opened)
        self.labelling = Labelling(opened, on_show, slices)
        self.suggesting = Suggesting(opened, on_show, slices)
        self.training = Training(opened, on_show, maps, worker or TrainingWorker())
        self.reviewing = Reviewing(opened, on_show, maps, slices)
        self.comparing = ComparingRuns(opened, on_show, maps)

    def close(self) -> None:
        """Save what was painted, stop training with a checkpoint, close the study; blocks shortly."""
        if self.open_study.closed:
            return
        opened = self.open_study
        for signal in _signals_below(self, set()):
            # the widgets that listen may be gone already; the parts hear of the end all the same, and
            # of the last stroke
            if signal not in (
                opened.about_to_work,
                opened.leaving,
                self.on_show.layers.label_edited,
            ):
                signal.disconnect()
        self.on_show.layers.finish()
        opened.close()


def _signals_below(part: object, seen: set[int]) -> list[SignalInstance]:
    """Return the signals of a part and of all parts that it holds."""
    seen.add(id(part))
    found = [
        getattr(part, name)
        for name, member in getmembers_static(type(part))
        if isinstance(member, Signal)
    ]
    for held in vars(part).values():
        ours = type(held).__module__.startswith(__package__)
        if ours and id(held) not in seen and hasattr(held, "__dict__"):
            found += _signals_below(held, seen)
    return found
