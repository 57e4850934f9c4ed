"""The status line: where it computes, the memory in use, and when the label was saved.

Part of the dock widget, at its foot; a timer renews it. Main thread only.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import psutil
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_semiseg.gui.widgets.controls import caption, how_long_ago

if TYPE_CHECKING:
    from napari_semiseg.gui.label.labelling import Labelling
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.train.training import Training

RENEW_MILLISECONDS = 2000
GIBIBYTE = 2**30
NOTICE = "For research use only — not a medical device"


class StatusLine(QWidget):
    """Device, memory and last save, and what the program must not be used for."""

    def __init__(self, open_study: OpenStudy, labelling: Labelling, training: Training) -> None:
        super().__init__()
        self._open = open_study
        self._saving = labelling.saving
        self._training = training
        self.text = caption(faint=True)
        self.text.setAccessibleName("Status")
        self.text.setToolTip("Where it computes · memory in use · when the label was saved.")
        self.notice = caption(NOTICE, faint=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        layout.addWidget(self.text)
        layout.addWidget(self.notice)
        self._timer = QTimer(self)
        self._timer.setInterval(RENEW_MILLISECONDS)
        self._timer.timeout.connect(self.refresh)
        self._timer.start()
        labelling.saving.changed.connect(self.refresh)
        open_study.engine_loaded.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say how things are now."""
        self.text.setText(" · ".join(filter(None, (self._device(), self._memory(), self._saved()))))

    def _device(self) -> str:
        machine = self._open.machine
        return "" if machine is None else machine.device_name

    def _memory(self) -> str:
        machine = self._open.machine
        torch = sys.modules.get("torch")
        if machine is not None and machine.device == "cuda" and torch is not None:
            # asked only during training: the question itself would take memory on the card
            if not self._training.active:
                return ""
            free, total = torch.cuda.mem_get_info()
            return f"{(total - free) / GIBIBYTE:.1f} of {total / GIBIBYTE:.0f} GB"
        memory = psutil.virtual_memory()
        used = (memory.total - memory.available) / GIBIBYTE
        return f"{used:.1f} of {memory.total / GIBIBYTE:.0f} GB"

    def _saved(self) -> str:
        saving = self._saving
        if saving.under_way:
            return "saving…"
        if saving.failed:
            return "not saved"
        if saving.saved_at is None:
            return ""
        return f"saved {how_long_ago(time.time() - saving.saved_at)}"
