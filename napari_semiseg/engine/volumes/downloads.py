"""Public scans that are fetched once and kept: the Medical Decathlon's hippocampus task.

The command line and the benchmark call this, on their own thread; it blocks until the files are
there. A download starts only when the user asks for it, and no scan or label is ever sent.
"""

from __future__ import annotations

from pathlib import Path

import pooch

from napari_semiseg.engine.errors import BadScan

HIPPOCAMPUS_URL = "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar"
HIPPOCAMPUS_CHECKSUM = "md5:9d24dba78a72977dbd1d2e110310f31b"

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30  # without a byte, not for the whole file


def hippocampus_folder(
    progress: bool = False,
    *,
    url: str = HIPPOCAMPUS_URL,
    checksum: str = HIPPOCAMPUS_CHECKSUM,
    cache: str | Path | None = None,
) -> Path:
    """Return the unpacked Task04_Hippocampus data set, downloading it the first time (27 MB).

    260 labelled MR volumes of about 35 × 50 × 36 voxels of 1 mm in ``imagesTr`` and ``labelsTr``
    (1 anterior, 2 posterior), and 130 unlabelled ones in ``imagesTs``.

    Parameters
    ----------
    progress : bool
        Show a progress bar on standard error.
    url : str
        Where the tar archive is; its name without ``.tar`` is the folder inside it.
    checksum : str
        ``"md5:…"`` or ``"sha256:…"`` of the archive.
    cache : str or pathlib.Path or None
        Folder that keeps the archive and its files; by default the user's cache folder.

    Returns
    -------
    pathlib.Path
        The folder with ``imagesTr``, ``labelsTr`` and ``imagesTs``.

    Raises
    ------
    BadScan
        If the archive cannot be reached, written or unpacked, or is not the expected one.

    References
    ----------
    M. Antonelli et al., "The Medical Segmentation Decathlon", Nature Communications 13 (2022),
    4128. The data are shared under CC BY-SA 4.0.
    """
    folder = Path(cache) if cache is not None else Path(pooch.os_cache("napari-semiseg"))
    archive = url.rsplit("/", 1)[-1]
    try:
        pooch.retrieve(
            url,
            known_hash=checksum,
            path=folder,
            fname=archive,
            downloader=pooch.HTTPDownloader(
                progressbar=progress, chunk_size=_CHUNK_BYTES, timeout=_TIMEOUT_SECONDS
            ),
            processor=pooch.Untar(),
        )
    except OSError as problem:  # every failure of the connection is one, and so is a full disk
        raise BadScan(
            f"{archive} could not be downloaded from {url} into {folder} "
            f"({type(problem).__name__}): check the network and the free space, and try again."
        ) from problem
    except ValueError as problem:
        raise BadScan(
            f"{archive} from {url} is not the expected file (its checksum is not {checksum}), "
            "so it was thrown away: try again later, or fetch the data set by hand."
        ) from problem
    return folder / f"{archive}.untar" / archive.removesuffix(".tar")
