"""Sample studies, made away from the main thread: brains that come along, hippocampi to download.

These functions run on worker threads, touch neither viewer nor widgets and yield
what progress shows. Stopping one stops its download; scans that were added stay in the study.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from napari_semiseg.engine.drained import Drained
from napari_semiseg.engine.errors import BadScan, StudyError
from napari_semiseg.engine.study import ScanProblem, Study, parse_classes
from napari_semiseg.engine.volumes.downloads import fetch_hippocampus
from napari_semiseg.gui.open_study.records import JobStep, Snapshot, take_snapshot

HIPPOCAMPUS_CLASSES = parse_classes("1=anterior hippocampus,2=posterior hippocampus")
"""Label values of the hippocampi."""


def create_sample_study(
    path: str | Path, labelled: int = 4, held_out: int = 2
) -> Generator[JobStep, None, tuple[Study, Snapshot]]:
    """Make a study of the sample brains, a few of them labelled and the last ones held out.

    Parameters
    ----------
    labelled, held_out : int
        Number of scans with a finished label that training learns from, and that are locked.

    Yields
    ------
    JobStep
        One for each scan.
    """
    from napari_semiseg import sample_data

    study = Study.create(path, sample_data.CLASSES, "Sample brains")
    images = [sample_data.image_path(name) for name in sample_data.sample_cases()]
    labels = [sample_data.label_path(name) for name in sample_data.sample_cases()]
    return (yield from _filled(study, images, labels, labelled, held_out))


def create_hippocampus_study(
    path: str | Path, scans: int = 40, labelled: int = 5, held_out: int = 10
) -> Generator[JobStep, None, tuple[Study, Snapshot]]:
    """Make a study of hippocampi of the Medical Decathlon, which are downloaded the first time.

    Parameters
    ----------
    labelled, held_out : int
        As for `create_sample_study`.

    Yields
    ------
    JobStep
        How far the download is, and one for each scan.

    Raises
    ------
    BadScan
        If the download failed or is not complete.
    """
    folder = yield from download_steps(fetch_hippocampus())
    images = hippocampus_images(folder)[:scans]
    labels = [folder / "labelsTr" / image.name for image in images]
    study = Study.create(path, HIPPOCAMPUS_CLASSES, "Hippocampus")
    return (yield from _filled(study, images, labels, labelled, held_out))


def hippocampus_images(folder: Path) -> list[Path]:
    """Return the labelled scans of the downloaded data set, by name.

    Raises
    ------
    BadScan
        There is none.
    """
    images = sorted((folder / "imagesTr").glob("hippocampus_*.nii.gz"))
    if not images:
        raise BadScan(f"{folder} holds no scans: delete the folder and open the sample again.")
    return images


def download_steps(shares: Generator[float, None, Path]) -> Generator[JobStep, None, Path]:
    """Tell how far a download is as the steps of a job.

    Parameters
    ----------
    shares : generator
        As `fetch_hippocampus` returns it; closed with this one.
    """
    downloading = Drained(shares)
    for share in downloading:
        yield JobStep(share, "downloading")
    return downloading.result


def _filled(
    study: Study, images: list[Path], labels: list[Path], labelled: int, held_out: int
) -> Generator[JobStep, None, tuple[Study, Snapshot]]:
    """Add scans to a new study; where that is stopped or fails, the study is closed."""
    try:
        yield from _fill(study, images, labels, labelled, held_out)
        return study, take_snapshot(study)
    except BaseException:
        study.close()
        raise


def _fill(
    study: Study, images: list[Path], labels: list[Path], labelled: int, held_out: int
) -> Iterator[JobStep]:
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield JobStep(index / len(images), image.name)
        outcome = next(study.scans.add_all([image]))
        if isinstance(outcome, ScanProblem):
            raise StudyError(outcome.sentence)
        locked = index >= len(images) - held_out
        if index < labelled or locked:
            study.labels.import_file(outcome.name, label)
        if locked:
            study.hold_out(outcome.name)
