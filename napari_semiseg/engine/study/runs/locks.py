"""Which runs are being trained at this moment, by this program or another one.

The program that sets a run running holds a lock on a file in the run's folder. The operating system
lets go of it when that program ends in whatever way, so a run that the records call running and
nobody holds was cut off: it counts as stopped, and can be resumed from its last checkpoint.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.storage import storage_errors

FILE_NAME = "running.lock"
PATIENCE_SECONDS = 2.0
"""How long a run waits for a program that only looks whether it is running."""


class RunningRuns:
    """The locks of the runs that this program trains, and a look at those of others.

    Parameters
    ----------
    folder : Path
        The folder ``runs`` of a study.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, FileLock] = {}

    def hold(self, identifier: str) -> None:
        """Mark a run as trained by this program, until `release` or its end.

        Raises
        ------
        StudyError
            If another program is training it, or the disk refuses.
        """
        if identifier in self._held:
            return
        lock = self._lock(identifier)
        with storage_errors(self._folder):
            try:
                lock.acquire(timeout=PATIENCE_SECONDS)
            except Timeout:
                raise StudyError(
                    f"Run '{identifier}' is being trained by another program: stop it there first."
                ) from None
        self._held[identifier] = lock

    def release(self, identifier: str) -> None:
        """Let go of a run; nothing happens where this program does not hold it."""
        lock = self._held.pop(identifier, None)
        if lock is not None:
            lock.release()

    def release_all(self) -> None:
        """Let go of every run that this program holds."""
        for identifier in tuple(self._held):
            self.release(identifier)

    def is_held(self, identifier: str) -> bool:
        """Return whether some program is training a run; True where that cannot be told."""
        if identifier in self._held:
            return True
        if not (self._folder / identifier / FILE_NAME).exists():
            return False
        lock = self._lock(identifier)
        try:
            lock.acquire(timeout=0)
        except OSError:  # held, or a share that is read-only
            return True
        lock.release()
        return False

    def _lock(self, identifier: str) -> FileLock:
        # Training works on another thread than the one that closes the study.
        return FileLock(self._folder / identifier / FILE_NAME, thread_local=False)
