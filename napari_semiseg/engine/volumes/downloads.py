"""Public scans that are fetched once and kept: the Medical Decathlon's hippocampus task.

The command line and the benchmark call `hippocampus_folder`, on their own thread; it blocks until
the files are there. The desk fetches step by step, to show how far it is and to stop. A download
starts only when the user asks for it, and no scan or label is ever sent.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator
from pathlib import Path

import pooch

from napari_semiseg.engine.errors import BadScan

HIPPOCAMPUS_URL = "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar"
HIPPOCAMPUS_CHECKSUM = "md5:9d24dba78a72977dbd1d2e110310f31b"

_CHUNK_BYTES = 1 << 18
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
    folder = _cache_folder(cache)
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
        raise _not_downloaded(url, folder, problem) from problem
    except ValueError as problem:
        raise BadScan(
            f"{archive} from {url} is not the expected file (its checksum is not {checksum}), "
            "so it was thrown away: try again later, or fetch the data set by hand."
        ) from problem
    return _unpacked(folder, archive)


def downloaded_hippocampus(
    *, url: str = HIPPOCAMPUS_URL, cache: str | Path | None = None
) -> Path | None:
    """Return the folder of the data set where it was downloaded before, else None; asks no network.

    Parameters
    ----------
    url, cache
        As for `hippocampus_folder`.
    """
    folder = _unpacked(_cache_folder(cache), url.rsplit("/", 1)[-1])
    return folder if (folder / "imagesTr").is_dir() else None


def fetch_hippocampus(
    *,
    url: str = HIPPOCAMPUS_URL,
    checksum: str = HIPPOCAMPUS_CHECKSUM,
    cache: str | Path | None = None,
) -> Generator[float, None, Path]:
    """Download the data set as `hippocampus_folder` does, and tell how far it is.

    Closing the generator stops the download; nothing of it is kept.

    Parameters
    ----------
    url, checksum, cache
        As for `hippocampus_folder`.

    Yields
    ------
    float
        The share that is downloaded, 0…1.

    Returns
    -------
    pathlib.Path
        The folder with ``imagesTr``, ``labelsTr`` and ``imagesTs``.

    Raises
    ------
    BadScan
        If the archive cannot be reached, written or unpacked, or is not the expected one.
    """
    import requests  # takes a while to load, and few need it

    folder, archive = _cache_folder(cache), url.rsplit("/", 1)[-1]
    if not (folder / archive).exists():
        yield 0.0
        part = folder / f"{archive}.{uuid.uuid4().hex}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (
                requests.get(url, stream=True, timeout=_TIMEOUT_SECONDS) as response,
                open(part, "wb") as stream,
            ):
                response.raise_for_status()
                total = int(response.headers.get("Content-Length", 0))
                for chunk in response.iter_content(_CHUNK_BYTES):
                    stream.write(chunk)
                    yield min(1.0, stream.tell() / total) if total else 0.0
            part.replace(folder / archive)
        except OSError as problem:
            raise _not_downloaded(url, folder, problem) from problem
        finally:
            part.unlink(missing_ok=True)
    return hippocampus_folder(url=url, checksum=checksum, cache=cache)


def _cache_folder(cache: str | Path | None) -> Path:
    return Path(cache) if cache is not None else Path(pooch.os_cache("napari-semiseg"))


def _unpacked(folder: Path, archive: str) -> Path:
    return folder / f"{archive}.untar" / archive.removesuffix(".tar")


def _not_downloaded(url: str, folder: Path, problem: OSError) -> BadScan:
    return BadScan(
        f"{url.rsplit('/', 1)[-1]} could not be downloaded from {url} into {folder} "
        f"({type(problem).__name__}): check the network and the free space, and try again."
    )
