"""Work on the main thread in small parts, one a turn of the event loop, so that nobody waits.

For what only the main thread may do and what takes napari long, such as putting layers in. The layers
of the desk use it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from qtpy.QtCore import QTimer

Later = Callable[[Callable[[], None]], object]
"""Has something done when the event loop comes round."""


def at_the_next_turn(work: Callable[[], None]) -> None:
    """Have something done when the event loop comes round."""
    QTimer.singleShot(0, work)


class Turns:
    """Does the parts of one piece of work after the other.

    Parameters
    ----------
    later : callable
        Has the next part done; by default when the event loop comes round.
    """

    def __init__(self, later: Later = at_the_next_turn) -> None:
        self._later = later
        self._waiting: deque[Callable[[], None]] = deque()
        self._round = 0

    @property
    def over(self) -> bool:
        """Whether no part is still to be done."""
        return not self._waiting

    def begin(self, parts: Iterable[Callable[[], None]]) -> None:
        """Do the first part at once and the others one a turn, in place of what is left of others."""
        self.drop()
        self._waiting.extend(parts)
        self._go_on(self._round)

    def drop(self) -> None:
        """Leave undone what is still to be done."""
        self._round += 1
        self._waiting.clear()

    def _go_on(self, begun: int) -> None:
        if begun != self._round or not self._waiting:
            return
        self._waiting.popleft()()
        if begun == self._round and self._waiting:
            self._later(partial(self._go_on, begun))
