"""Go through the whole loop in the real viewer, as a person would, and measure every wait.

With mouse and key events alone: new study, 30 scans, paint two with interpolation between slices, mark
them as labelled, train and watch, review five, learn on, compare, export. On the way it takes the
pictures of each page in both themes and the frames of the animated GIF of the README, and measures how
late the event loop comes round over all of it; it ends with 1 where a user would have waited. The
column “own work” is the most that the main thread itself computed between two ticks: what other
programs take from a busy machine is not in it.

Run it from the root of the repository, where a display is or under xvfb, with a folder that has
``images`` and ``labels`` (the hippocampus MR of the Medical Segmentation Decathlon)::

    python -m docs.make_session DATA --pictures FOLDER

The labels tell the script where to draw, as its knowledge of anatomy tells a person, and are imported
for the held-out scans only, which need a reference to be measured against. All else is drawn.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from docs.session.acts import ACTS
from docs.session.camera import Camera
from docs.session.hands import Hands
from docs.session.stage import Stage, open_the_desk
from tests.measurements.event_loop_lag import (
    LAG_HEADER,
    BlockWitness,
    LagMeter,
    is_too_long,
    lag_line,
)

SCANS = 30
WORST_WAITS, WORST_PLACES = 12, 20


def perform(arguments: argparse.Namespace, folder: Path) -> tuple[LagMeter, BlockWitness]:
    """Go through all acts and return what was measured."""
    images = sorted((arguments.data / "images").iterdir())[:SCANS]
    inbox = folder / "scans"
    inbox.mkdir()
    scans = [Path(shutil.copy(path, inbox)) for path in images]
    viewer, desk = open_the_desk(folder)
    meter = LagMeter()
    camera = Camera(viewer, meter, arguments.pictures)
    labels = arguments.data / "labels"
    stage = Stage(desk, Hands(viewer), camera, meter, scans, labels, folder, arguments.minutes)
    with BlockWitness(meter) as witness:
        for act in ACTS:
            title = (act.__doc__ or act.__name__).rstrip(".")
            print(title, flush=True)
            with meter.during(title):
                act(stage)
    size = camera.write_gif(arguments.gif)
    print(f"{arguments.gif.name}: {size / 1e6:.2f} MB")
    viewer.close()
    desk.session.close()
    return meter, witness


def report(meter: LagMeter, witness: BlockWitness) -> bool:
    """Print the lags of each act and where the worst came from; tell whether they are too long."""
    everything = np.concatenate([np.array(lags) for lags in meter.lags.values()])
    print(f"{LAG_HEADER}{'own work':>11}")
    for action, lags in meter.lags.items():
        print(f"{lag_line(action, np.array(lags))}{max(meter.work[action]):>11.1f}")
    longest_work = max(max(work) for work in meter.work.values())
    print(f"{lag_line('the whole session', everything)}{longest_work:>11.1f}")
    worst = sorted(
        ((lag, action) for action, lags in meter.lags.items() for lag in lags), reverse=True
    )
    print("\nlongest waits: " + ", ".join(f"{w:.0f} ms {a}" for w, a in worst[:WORST_WAITS]))
    print("\nwhere the program was during waits (ms, sum)")
    for (action, place), milliseconds in witness.seen.most_common(WORST_PLACES):
        print(f"{milliseconds:>7}  {action}: {place}")
    return is_too_long(everything)


def main() -> int:
    """Perform the session and return 1 where a user would have waited too long."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with images/ and labels/")
    parser.add_argument("--pictures", type=Path, help="where pictures of each page go")
    parser.add_argument("--minutes", type=float, default=1.5, help="how long the first run trains")
    parser.add_argument("--gif", type=Path, default=Path(__file__).parent / "pictures/session.gif")
    arguments = parser.parse_args()
    if arguments.pictures is not None:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        meter, witness = perform(arguments, Path(place))
    too_long = report(meter, witness)
    print("too long" if too_long else "nobody had to wait")
    return int(too_long)


if __name__ == "__main__":
    sys.exit(main())
