"""Small studies of simulated scans for the tests: a bright ball and a brighter core in noise."""

from pathlib import Path

import nibabel
import numpy as np

from napari_semiseg.engine.study import Study, parse_classes

SHAPE = (20, 22, 24)  # x, y, z as NIfTI counts


def ball_scan(seed, shape=SHAPE, channels=1):
    """Return an image (x, y, z[, channels]) and its label (x, y, z) with the classes 1 and 2."""
    random = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(extent) for extent in shape], indexing="ij")
    centre = [extent / 2 + random.uniform(-2, 2) for extent in shape]
    radius = np.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True)))
    outer = min(extent for extent in shape if extent > 1) * 0.32 + random.uniform(-0.5, 0.5)
    label = (radius < outer).astype(np.uint8) + (radius < outer * 0.55)
    image = 100 + 80 * label + random.normal(0, 12, shape)
    if channels > 1:
        image = np.stack([image * (index + 1) for index in range(channels)], axis=-1)
    return image.astype(np.float32), label.astype(np.uint8)


def write_scans(folder, count, shape=SHAPE, affine=None, channels=1):
    """Write ``count`` scans and labels under images/ and labels/; return their names."""
    affine = np.diag([1.0, 1.0, 1.5, 1.0]) if affine is None else affine
    names = [f"case_{index:02d}" for index in range(count)]
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        image, label = ball_scan(index, shape, channels)
        nibabel.save(nibabel.Nifti1Image(image, affine), folder / "images" / f"{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(label, affine), folder / "labels" / f"{name}.nii.gz")
    return names


def make_study(folder, count=6, labelled=2, held_out=1, **scans):
    """Make a study whose first cases are labelled and whose last are held out."""
    folder = Path(folder)
    names = write_scans(folder, count, **scans)
    study = Study.create(folder / "small.semiseg", parse_classes("1=shell,2=core"))
    for _ in study.scans.add_all([folder / "images"]):
        pass
    locked = names[count - held_out :]
    for name in [*names[:labelled], *locked]:
        study.labels.import_file(name, folder / "labels" / f"{name}.nii.gz", author="test")
    for name in locked:
        study.hold_out(name, author="test")
    return study
