"""The main job on the shipped sample data: study, labels, training, maps, and a picture of them.

The same verbs as everywhere; nothing here is made for the demo but the picture.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_semiseg.cli.console import progress_bar
from napari_semiseg.cli.progress import evaluate_run, train_run
from napari_semiseg.engine.errors import StudyError

if TYPE_CHECKING:
    from napari_semiseg.engine.inference.maps import CaseMaps
    from napari_semiseg.engine.study import Study

METHOD = "mean-teacher"
LABELLED = 3
HELD_OUT = 4
MARK = "made-by-the-demo.txt"

# Anchor colours of the maps, evenly spaced from the low to the high end of their range.
MAGMA = ("#000004", "#3b0f70", "#8c2981", "#de4968", "#fe9f6d", "#fcfdbf")
VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
DIVERGING = ("#8e0152", "#de77ae", "#f7f7f7", "#7fbc41", "#276419")


def run_demo(out: Path, minutes: float) -> dict[str, Any]:
    """Run the demo and return where everything lies.

    Parameters
    ----------
    out : Path
        Folder for the study, the maps and the picture; a former demo in it is replaced.

    Raises
    ------
    StudyError
        The folder holds something that is not a former demo.
    """
    from napari_semiseg.engine.training.settings import training_settings

    settings = training_settings(method=METHOD, minutes=minutes, validation_cases=0)
    _empty(out)
    with sample_study(out) as study:
        trained = train_run(study, settings)
        maps = _predict(study, trained["run"], out / "maps")
        evaluation = evaluate_run(study, trained["run"])
        picture = _picture(study, maps, out / "demo.png")
        return {
            "study": str(study.path),
            "run": trained["run"],
            "method": trained["method"],
            "steps": trained["steps"],
            "seconds": trained["seconds"],
            "labelled": len(study.labelled_cases()),
            "unlabelled": len(study.unlabelled_cases()),
            "dice": evaluation.dice,
            "held_out": evaluation.mean,
            "maps": str(out / "maps"),
            "picture": str(picture),
        }


def _empty(out: Path) -> None:
    try:
        if out.exists() and any(out.iterdir()):
            if not (out / MARK).exists():
                raise StudyError(f"The folder {out} is not empty; choose another with --out.")
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).write_text("The next demo replaces this folder.\n", encoding="utf-8")
    except OSError as problem:
        raise StudyError(
            f"The folder {out} cannot be written ({problem.strerror}); choose another with --out."
        ) from problem


def sample_study(out: Path) -> Study:
    """Make a study of the sample scans in ``out``: three labelled, four held out, no other label."""
    from napari_semiseg import sample_data
    from napari_semiseg.engine.study import Study

    study = Study.create(
        out / "demo.semiseg", sample_data.CLASSES, "Brain MR (simulated population)"
    )
    names = sample_data.sample_cases()
    with progress_bar() as bar:
        task = bar.add_task("Adding scans", total=len(names), note="")
        for index, name in enumerate(names):
            for _ in study.scans.add_all([sample_data.image_path(name)]):
                bar.update(task, advance=1, note=name)
            if index < LABELLED or index >= len(names) - HELD_OUT:
                study.labels.import_file(name, sample_data.label_path(name), author="demo")
            if index >= len(names) - HELD_OUT:
                study.hold_out(name, author="demo")
    return study


def _predict(study: Study, run: str, folder: Path) -> CaseMaps:
    """Predict the unlabelled scans into the study; write the first one's maps as files too."""
    from napari_semiseg.engine.inference.files import write_maps
    from napari_semiseg.engine.inference.prediction import CasePredicted, predict

    shown: CaseMaps | None = None
    names = {info.value: info.name for info in study.classes}
    with progress_bar() as bar:
        task = bar.add_task("Predicting", total=1.0, note="")
        for event in predict(study, run):
            if isinstance(event, CasePredicted):
                if shown is None:
                    shown = event.maps
                    write_maps(folder, shown, names)
            else:
                done = (event.index + event.share) / event.total
                bar.update(task, completed=done, note=event.case)
    assert shown is not None
    return shown


def _picture(study: Study, maps: CaseMaps, path: Path) -> Path:
    """Draw the middle slice of one unlabelled scan with its four maps side by side."""
    from PIL import Image, ImageDraw, ImageFont

    middle = maps.geometry.shape[0] // 2
    scan = study.scans.read(maps.case).voxels[0, middle].astype(np.float32)
    low, high = np.percentile(scan, (1, 99.5))
    grey = np.repeat(((scan - low) / (high - low)).clip(0, 1)[..., None], 3, axis=-1)
    assert maps.uncertainty is not None
    assert maps.signed_distance is not None
    assert maps.similarity is not None
    last = study.classes[-1]
    panels = {
        "Scan\n": grey,
        "Prediction\n": _overlay(grey, maps.prediction[middle], study),
        f"Unsure here, 0 to 1\n{maps.uncertainty_source}": _coloured(
            maps.uncertainty[middle], 0, 1, MAGMA
        ),
        f"Signed distance, -10 to 10 mm\n{last.name}": _coloured(
            maps.signed_distance[-1, middle], -10, 10, DIVERGING
        ),
        f"Prototype similarity, -1 to 1\n{last.name}": _coloured(
            maps.similarity[-1, middle], -1, 1, VIRIDIS
        ),
    }
    font = ImageFont.load_default(size=13)
    zoom = max(1, 400 // max(scan.shape))
    width, height = scan.shape[1] * zoom, scan.shape[0] * zoom
    canvas = Image.new("RGB", (len(panels) * (width + 12) + 12, height + 84), "white")
    draw = ImageDraw.Draw(canvas)
    for index, (title, panel) in enumerate(panels.items()):
        # Rows of the file run from posterior to anterior; pictures start at the top.
        pixels = (panel[::-1] * 255).astype(np.uint8)
        image = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
        left = 12 + index * (width + 12)
        canvas.paste(image, (left, 50))
        draw.text((left, 10), title, fill="black", font=font)
    note = (
        f"{maps.case}, an unlabelled scan: real anatomy, simulated population. Research use only."
    )
    draw.text((12, height + 60), note, fill="#555555", font=font)
    canvas.save(path)
    return path


def _overlay(grey: np.ndarray, prediction: np.ndarray, study: Study) -> np.ndarray:
    panel = grey.copy()
    for info in study.classes:
        inside = prediction == info.value
        panel[inside] = 0.45 * panel[inside] + 0.55 * _rgb(info.colour)
    return panel


def _coloured(values: np.ndarray, low: float, high: float, anchors: tuple[str, ...]) -> np.ndarray:
    """Colour ``values`` (y, x) by linear interpolation between anchor colours."""
    place = ((values - low) / (high - low)).clip(0, 1)
    colours = np.array([_rgb(anchor) for anchor in anchors])
    positions = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(place, positions, colours[:, c]) for c in range(3)], axis=-1)


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
