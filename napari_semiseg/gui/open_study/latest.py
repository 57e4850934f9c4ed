"""Work of which only the last that was asked for counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy


class Latest:
    """One place for work in the background: what starts there takes the place of what is under way.

    The answer of work that was replaced or dropped is never told, and all is dropped when the study
    is left.
    """

    def __init__(self, open_study: OpenStudy) -> None:
        self._open = open_study
        self._handle: Any = None
        self._asked = 0
        self.busy = False
        open_study.leaving.connect(self.drop)

    def start(
        self,
        work: Callable[..., Any],
        *arguments: Any,
        done: Callable[[Any], None],
        failed: Callable[[str], None] | None = None,
        progress: Callable[[Any], None] | None = None,
    ) -> None:
        """Do work away from the main thread and drop what was under way here.

        Parameters
        ----------
        work, *arguments, progress
            As for `run_in_background`.
        done : callable
            Called with what the work returned; `busy` is False by then.
        failed : callable, optional
            Called with one sentence; by default the user is told it as a problem.
        """
        self.drop()
        asked = self._asked

        def if_wanted(tell: Callable[[Any], None], ends: bool = True) -> Callable[[Any], None]:
            def told(value: Any) -> None:
                if asked == self._asked:
                    if ends:
                        self.busy, self._handle = False, None
                    tell(value)

            return told

        self.busy = True
        self._handle = self._open.background(
            work,
            *arguments,
            done=if_wanted(done),
            failed=if_wanted(failed or self._open.tell_problem),
            progress=None if progress is None else if_wanted(progress, ends=False),
        )

    def drop(self) -> None:
        """End what is under way at its next step; it is not heard of again."""
        self._asked += 1
        handle, self._handle, self.busy = self._handle, None, False
        if handle is not None:
            handle.cancel()
