"""The case on the screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_semiseg.engine.study import Case, Study
from napari_semiseg.engine.volumes import Volume


@dataclass(frozen=True)
class OpenCase:
    """A case read from disk, ready to be shown."""

    case: Case
    volume: Volume
    label: np.ndarray | None


def read_case(study: Study, name: str, former: OpenCase | None = None) -> OpenCase:
    """Read the scan and the label of a case; the scan of a ``former`` reading is taken as it is."""
    case = study.case(name)
    known = former is not None and former.case.content_hash == case.content_hash
    volume = former.volume if former is not None and known else study.volume(name)
    return OpenCase(case, volume, study.load_label(name))
