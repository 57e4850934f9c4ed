"""Downloads are checked, unpacked and kept; what goes wrong is told in one sentence."""

import functools
import hashlib
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.volumes import downloads
from napari_semiseg.engine.volumes.downloads import (
    downloaded_hippocampus,
    fetch_hippocampus,
    hippocampus_folder,
)

ARCHIVE = "Task04_Hippocampus.tar"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    scans = tmp_path / "Task04_Hippocampus" / "imagesTr"
    scans.mkdir(parents=True)
    (scans / "hippocampus_001.nii.gz").write_bytes(b"voxels")
    served = tmp_path / "served"
    served.mkdir()
    with tarfile.open(served / ARCHIVE, "w") as tar:
        tar.add(scans.parent, arcname=scans.parent.name)
    return served / ARCHIVE


@pytest.fixture
def server(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = functools.partial(QuietHandler, directory=str(archive.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield http_server
        http_server.shutdown()
        thread.join()


def url_of(server: ThreadingHTTPServer, name: str = ARCHIVE) -> str:
    return f"http://127.0.0.1:{server.server_port}/{name}"


def checksum_of(path: Path) -> str:
    return "md5:" + hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_the_archive_is_downloaded_and_unpacked(server, archive, tmp_path) -> None:
    folder = hippocampus_folder(
        url=url_of(server), checksum=checksum_of(archive), cache=tmp_path / "cache"
    )
    assert folder.name == "Task04_Hippocampus"
    assert (folder / "imagesTr" / "hippocampus_001.nii.gz").read_bytes() == b"voxels"


def test_a_second_call_needs_no_network(server, archive, tmp_path) -> None:
    url, checksum, cache = url_of(server), checksum_of(archive), tmp_path / "cache"
    first = hippocampus_folder(url=url, checksum=checksum, cache=cache)
    archive.unlink()
    assert hippocampus_folder(url=url, checksum=checksum, cache=cache) == first


def test_a_wrong_checksum_is_told_and_leaves_nothing(server, tmp_path) -> None:
    with pytest.raises(BadScan, match=r"not the expected file.*try again"):
        hippocampus_folder(url=url_of(server), checksum="md5:" + "0" * 32, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_file_on_the_server_is_told(server, tmp_path) -> None:
    with pytest.raises(BadScan, match=r"could not be downloaded.*check the network"):
        hippocampus_folder(
            url=url_of(server, "elsewhere.tar"), checksum="md5:" + "0" * 32, cache=tmp_path
        )


def test_no_network_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), QuietHandler) as closed:
        url = url_of(closed)
    with pytest.raises(BadScan, match=r"could not be downloaded.*check the network"):
        hippocampus_folder(url=url, checksum="md5:" + "0" * 32, cache=tmp_path)


def fetched(**arguments) -> tuple[list[float], Path]:
    shares = []
    fetching = fetch_hippocampus(**arguments)
    while True:
        try:
            shares.append(next(fetching))
        except StopIteration as end:
            return shares, end.value


def test_fetching_tells_how_far_it_is(server, archive, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(downloads, "_CHUNK_BYTES", 4096)
    url, cache = url_of(server), tmp_path / "cache"
    assert downloaded_hippocampus(url=url, cache=cache) is None
    shares, folder = fetched(url=url, checksum=checksum_of(archive), cache=cache)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(shares) > 2
    assert (folder / "imagesTr" / "hippocampus_001.nii.gz").read_bytes() == b"voxels"
    assert downloaded_hippocampus(url=url, cache=cache) == folder
    checksum = checksum_of(archive)
    archive.unlink()
    assert fetched(url=url, checksum=checksum, cache=cache) == ([], folder)


def test_a_fetch_that_is_stopped_leaves_nothing(server, archive, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(downloads, "_CHUNK_BYTES", 4096)
    fetching = fetch_hippocampus(
        url=url_of(server), checksum=checksum_of(archive), cache=tmp_path / "cache"
    )
    next(fetching)
    next(fetching)
    fetching.close()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_fetch_without_the_file_is_told_and_leaves_nothing(server, tmp_path) -> None:
    with pytest.raises(BadScan, match=r"could not be downloaded.*check the network"):
        fetched(url=url_of(server, "elsewhere.tar"), checksum="md5:0", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
