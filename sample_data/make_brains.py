"""Make the sample brains: real anatomy, a simulated population.

``python sample_data/make_brains.py`` writes ``images/`` and ``labels/`` beside this file, from the
ICBM-152 T1 template and its grey and white matter maps, which nilearn carries (no download). Every
case is the template under its own smooth, invertible warp (size, pose, folding, width of the
ventricles), with its own cortex thickness, tissue contrast, coil shading and Rician noise. A seed a
case makes the voxels repeatable. Only developers run this file; it needs nilearn (extra ``test``).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

CASE_COUNT = 16
SEED = 152
SPACING_MM = 2.0
MARGIN_MM = 14.0  # room around the template's brain for larger brains
VENTRICLE_MM = np.array([8.0, 4.0, 18.0])  # in the right lateral ventricle, ICBM-152 coordinates
CROP_MARGIN = 2  # voxels of air around the warped brain
TISSUES = 3  # cerebrospinal fluid, grey matter, white matter: label values 1, 2, 3
TEMPLATE_TISSUE_MEANS = np.array([75.0, 155.0, 215.0])  # of the template's T1, 0 to 255


@dataclass(frozen=True, eq=False)
class Template:
    """The ICBM-152 template on its own grid of 1 mm voxels.

    Attributes
    ----------
    t1 : numpy.ndarray, shape (x, y, z), float32, 0 to 255
        Skull-stripped T1 intensities.
    tissues : numpy.ndarray, shape (3, x, y, z), float32, 0 to 1
        Probabilities of cerebrospinal fluid, grey matter and white matter.
    mask : numpy.ndarray, shape (x, y, z), float32, 0 or 1
        The brain with its fluid.
    ventricles : numpy.ndarray, shape (x, y, z), float32, 0 to 1
        The lateral ventricles, smoothed.
    low, high : numpy.ndarray, shape (3,)
        Corner voxels of the brain's box with ``MARGIN_MM`` around it (may lie off the grid).
    low_mm : numpy.ndarray, shape (3,)
        World position (RAS) of the ``low`` corner.
    """

    t1: np.ndarray
    tissues: np.ndarray
    mask: np.ndarray
    ventricles: np.ndarray
    low: np.ndarray
    high: np.ndarray
    low_mm: np.ndarray


@dataclass(frozen=True, eq=False)
class Brain:
    """One simulated subject.

    Attributes
    ----------
    image : numpy.ndarray, shape (x, y, z), int16
        T1-weighted intensities, 0 outside the brain.
    label : numpy.ndarray, shape (x, y, z), uint8
        0 outside, 1 cerebrospinal fluid, 2 grey matter, 3 white matter.
    affine : numpy.ndarray, shape (4, 4)
        Voxel index (x, y, z, 1) to world millimetres, RAS.
    """

    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray


@cache
def read_template() -> Template:
    """Read the template that nilearn carries and derive fluid, mask and ventricles from it."""
    folder = files("nilearn.datasets") / "data"

    def read(kind: str) -> tuple[np.ndarray, np.ndarray]:
        name = f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
        image = nibabel.Nifti1Image.from_filename(str(folder / name))
        return np.asarray(image.dataobj, dtype=np.float32), image.affine

    t1, affine = read("t1")
    grey, white = read("gm")[0] / 255, read("wm")[0] / 255
    mask = ndimage.binary_fill_holes(t1 > 0)
    fluid = np.where(mask, np.clip(1 - grey - white, 0, 1), 0).astype(np.float32)
    deep = ndimage.binary_erosion(mask, iterations=18)
    components, _ = ndimage.label((fluid > 0.5) & deep)
    inside = tuple(np.rint(VENTRICLE_MM - affine[:3, 3]).astype(int))
    lateral = (components == components[inside]).astype(np.float32)
    ventricles = ndimage.gaussian_filter(lateral, 4.0)
    brain = np.argwhere(mask)
    low, high = brain.min(axis=0) - MARGIN_MM, brain.max(axis=0) + MARGIN_MM
    return Template(
        t1=t1,
        tissues=np.stack([fluid, grey, white]).astype(np.float32),
        mask=mask.astype(np.float32),
        ventricles=ventricles,
        low=low,
        high=high,
        low_mm=affine[:3, 3] + low,
    )


def smooth_noise(
    random: np.random.Generator, shape: tuple[int, ...], sigma_mm: float
) -> np.ndarray:
    """Return Gaussian noise of the given correlation length, with mean 0 and deviation 1.

    Parameters
    ----------
    random : numpy.random.Generator
    shape : tuple of int
        (x, y, z) of the 2 mm grid.
    sigma_mm : float
        Standard deviation of the smoothing Gaussian, in mm.

    Returns
    -------
    numpy.ndarray, shape (x, y, z), float32
    """
    noise = random.standard_normal(shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, sigma_mm / SPACING_MM, mode="wrap")
    standard: np.ndarray = (noise - noise.mean()) / noise.std()
    return standard


def integrate(velocity: np.ndarray, squarings: int = 5) -> np.ndarray:
    """Integrate a stationary velocity field by scaling and squaring, which keeps it invertible.

    Parameters
    ----------
    velocity : numpy.ndarray, shape (3, x, y, z), in voxels
    squarings : int
        The field is halved, and composed with itself, this many times.

    Returns
    -------
    numpy.ndarray, shape (3, x, y, z)
        Displacement in voxels.
    """
    grid = np.indices(velocity.shape[1:], dtype=np.float32)
    displacement: np.ndarray = velocity / 2**squarings
    for _ in range(squarings):
        there = grid + displacement
        displacement = displacement + np.stack(
            [ndimage.map_coordinates(part, there, order=1, mode="nearest") for part in displacement]
        )
    return displacement


def random_affine(random: np.random.Generator) -> np.ndarray:
    """Return a (3, 3) matrix of head size, proportions and tilt, from subject to template.

    The ICBM-152 brain is larger than the average head by some 7 percent along every axis.
    """
    angles = np.deg2rad(random.normal(0, 4, 3))
    matrix = np.diag(random.normal(1.07, 0.03) * random.normal(1, 0.025, 3))
    for axis, angle in enumerate(angles):
        first, second = (index for index in range(3) if index != axis)
        rotation = np.eye(3)
        rotation[first, first] = rotation[second, second] = np.cos(angle)
        rotation[first, second], rotation[second, first] = -np.sin(angle), np.sin(angle)
        matrix = rotation @ matrix
    return matrix


def template_positions(random: np.random.Generator, template: Template) -> np.ndarray:
    """Draw a warp: where in the template each voxel of the subject's 2 mm grid comes from.

    Parameters
    ----------
    random : numpy.random.Generator
    template : Template

    Returns
    -------
    numpy.ndarray, shape (3, x, y, z), float32
        Positions in voxels of the 1 mm template.
    """
    shape = tuple(int(extent) for extent in np.ceil((template.high - template.low) / SPACING_MM))
    low = template.low.astype(np.float32)[:, None, None, None]
    millimetres = np.indices(shape, dtype=np.float32) * SPACING_MM + low

    broad = np.stack([smooth_noise(random, shape, 26.0) for _ in range(3)]) * 2.4
    fine = np.stack([smooth_noise(random, shape, 8.0) for _ in range(3)]) * 1.3
    # Drawing from nearer to the ventricles' middle widens them; the gradient points to the middle.
    ventricles = ndimage.map_coordinates(template.ventricles, millimetres, order=1)
    inwards = np.stack(np.gradient(ventricles))
    inwards /= np.linalg.norm(inwards, axis=0).max()
    widening_mm = random.uniform(-1.5, 6.0)
    velocity = (broad + fine + widening_mm * inwards) / SPACING_MM
    warped = millimetres + SPACING_MM * integrate(velocity.astype(np.float32))

    centre = ((template.low + template.high) / 2)[:, None, None, None]
    turned = np.einsum("ij,jxyz->ixyz", random_affine(random), warped - centre)
    return np.asarray(turned + centre, np.float32)


def individual_tissues(random: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """Turn the population's blurred tissue probabilities into those of one subject.

    A smooth random field on the log-probabilities thickens the cortex here and thins it there, and
    one shift of the fluid's makes the subject older or younger; a power above 1 takes back some
    of the blur of an average brain.

    Parameters
    ----------
    random : numpy.random.Generator
    probabilities : numpy.ndarray, shape (3, x, y, z), 0 to 1

    Returns
    -------
    numpy.ndarray, shape (3, x, y, z), float32
        Probabilities that add up to 1 in every voxel.
    """
    shape = probabilities.shape[1:]
    scores = np.log(probabilities + 0.02)
    for tissue in range(TISSUES):
        scores[tissue] += 0.45 * smooth_noise(random, shape, 3.5)
    scores[0] += random.uniform(-0.35, 0.45)
    scores[2] += random.normal(0, 0.12)
    scores *= 2.2
    weights = np.exp(scores - scores.max(axis=0))
    shares: np.ndarray = weights / weights.sum(axis=0)
    return shares


def tissue_contrast(
    random: np.random.Generator, t1: np.ndarray, population: np.ndarray, subject: np.ndarray
) -> np.ndarray:
    """Map the template's T1 to another scanner's: each tissue by its own line, then a gamma.

    Parameters
    ----------
    random : numpy.random.Generator
    t1 : numpy.ndarray, shape (x, y, z)
        The warped template, 0 to 255.
    population, subject : numpy.ndarray, shape (3, x, y, z), 0 to 1
        Tissue probabilities before and after :func:`individual_tissues`.

    Returns
    -------
    numpy.ndarray, shape (x, y, z)
        Noiseless intensities, white matter near 1.
    """
    # What the subject has in place of the population's tissue changes the intensity along with it.
    intensity = t1 + np.tensordot(TEMPLATE_TISSUE_MEANS, subject - population, axes=1)
    fluid, grey = random.uniform(0.14, 0.30), random.uniform(0.48, 0.66)
    means = np.array([fluid, grey, random.uniform(0.92, 1.0)])
    slopes = random.uniform(0.7, 1.2, TISSUES) / 255
    signal = np.zeros_like(t1)
    for tissue in range(TISSUES):
        departure = slopes[tissue] * (intensity - TEMPLATE_TISSUE_MEANS[tissue])
        signal += subject[tissue] * (means[tissue] + departure)
    shown: np.ndarray = np.clip(signal, 0.02, 1.4) ** random.uniform(0.85, 1.2)
    return shown


def acquire(random: np.random.Generator, signal: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Add what the scanner adds: coil shading, Rician noise, an arbitrary gain, whole numbers.

    Parameters
    ----------
    random : numpy.random.Generator
    signal : numpy.ndarray, shape (x, y, z)
        Noiseless intensities, white matter near 1.
    mask : numpy.ndarray of bool, shape (x, y, z)
        The brain; everything else becomes 0, as after skull stripping.

    Returns
    -------
    numpy.ndarray, shape (x, y, z), int16
    """
    shading = np.exp(random.uniform(0.04, 0.11) * smooth_noise(random, signal.shape, 38.0))
    deviation = random.uniform(0.025, 0.055)
    real = signal * shading + deviation * random.standard_normal(signal.shape, dtype=np.float32)
    imaginary = deviation * random.standard_normal(signal.shape, dtype=np.float32)
    gain = random.uniform(90, 170)  # about 8 bits of range keep the files small
    return np.where(mask, np.rint(gain * np.hypot(real, imaginary)), 0).astype(np.int16)


def make_brain(number: int, seed: int = SEED) -> Brain:
    """Simulate one subject; the same number and seed give the same voxels.

    Parameters
    ----------
    number : int
        Case number, from 1.
    seed : int
        Seed of the whole population.

    Returns
    -------
    Brain
    """
    random = np.random.default_rng([seed, number])
    template = read_template()
    there = template_positions(random, template)

    def warp(voxels: np.ndarray) -> np.ndarray:
        moved: np.ndarray = ndimage.map_coordinates(voxels, there, order=1)
        return moved

    mask = warp(template.mask) > 0.5
    population = np.stack([warp(tissue) for tissue in template.tissues])
    population /= np.maximum(population.sum(axis=0), 1e-3)
    subject = individual_tissues(random, population)
    signal = tissue_contrast(random, warp(template.t1), population, subject)
    image = acquire(random, signal, mask)
    label = np.where(mask, 1 + subject.argmax(axis=0), 0).astype(np.uint8)
    return crop(image, label, template.low_mm + random.normal(0, 6, 3))


def crop(image: np.ndarray, label: np.ndarray, origin_mm: np.ndarray) -> Brain:
    """Cut out the box of the brain.

    Parameters
    ----------
    image, label : numpy.ndarray, shape (x, y, z)
    origin_mm : numpy.ndarray, shape (3,)
        World position of voxel (0, 0, 0), which is where this subject lay in the scanner.

    Returns
    -------
    Brain
        Its origin is a whole number of half millimetres, which any file format keeps exactly.
    """
    inside = np.argwhere(label > 0)
    low = np.maximum(inside.min(axis=0) - CROP_MARGIN, 0)
    high = inside.max(axis=0) + 1 + CROP_MARGIN
    box = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = np.round(2 * (origin_mm + SPACING_MM * low)) / 2
    return Brain(image[box], label[box], affine)


def write_brain(brain: Brain, folder: Path, name: str) -> None:
    """Write ``images/NAME.nii.gz`` and ``labels/NAME.nii.gz`` with scanner coordinates, in mm."""
    for kind, voxels in (("images", brain.image), ("labels", brain.label)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        nifti = nibabel.Nifti1Image(voxels, brain.affine)
        nifti.set_sform(brain.affine, code=1)
        nifti.set_qform(brain.affine, code=1)
        nifti.header.set_xyzt_units("mm")
        nibabel.save(nifti, folder / kind / f"{name}.nii.gz")


def main() -> None:
    """Write all cases, and say what was written."""
    parser = argparse.ArgumentParser(description="Make the sample brains.")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=CASE_COUNT)
    arguments = parser.parse_args()
    for number in range(1, arguments.count + 1):
        brain = make_brain(number, arguments.seed)
        write_brain(brain, arguments.folder, f"brain_{number:02d}")
        millilitres = np.bincount(brain.label.ravel(), minlength=4)[1:] * SPACING_MM**3 / 1000
        print(f"brain_{number:02d} {brain.image.shape} CSF, grey, white: {millilitres.round()} mL")


if __name__ == "__main__":
    main()
