"""The problems that a user can meet, each told in one clear sentence.

Every room of the engine raises these; the command line prints the sentence and exits with 1, and the
dock widget shows it as a napari notification. A message says what is wrong, where, and what to do.
Anything that is not one of these is a defect of the program and keeps its traceback.
"""

from __future__ import annotations


class SemisegError(Exception):
    """A problem that the user can understand and solve; ``str()`` is the sentence to show."""


class BadScan(SemisegError):
    """A scan cannot be used as it is: missing, truncated, mixed, tilted, or with NaN voxels."""


class ScanMissing(BadScan):
    """The file of a scan is no longer where the study found it."""


class BadLabel(SemisegError):
    """A label cannot be used: not integers, empty, or with values that no class has."""


class GeometryMismatch(SemisegError):
    """A label and its scan do not lie on the same voxel grid."""


class StudyError(SemisegError):
    """A study cannot be created, opened, read or written, or a request contradicts its records."""


class SettingsError(SemisegError):
    """A setting has an unknown name or a value out of its range."""


class TrainingError(SemisegError):
    """Training cannot start or cannot go on: too few labels, loss not finite, no memory."""
