"""How a long job tells how far it is, and how fast it goes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Told the step's name, how much of it is done, and how much there is (None: unknown)."""
WINDOW_S = 10.0


def silent(step: str, done: int, total: int | None) -> None:
    """Tell nobody."""


def step(progress: Progress, name: str) -> Callable[[int, int], None]:
    """Return the progress of one named step, told (done, total)."""
    return lambda done, total: progress(name, done, total)


@dataclass
class Pace:
    """Tell how fast one step goes, over the last seconds, and when it will be done.

    Attributes:
        window_s: Over how many seconds the rate is taken.
        clock: Seconds, that only grow.
    """

    window_s: float = WINDOW_S
    clock: Callable[[], float] = time.monotonic
    _told: deque[tuple[float, int]] = field(default_factory=deque)
    _total: int | None = None

    def tell(self, done: int, total: int | None) -> None:
        """Note how much is done."""
        now = self.clock()
        self._total = total
        if self._told and done < self._told[-1][1]:
            self._told.clear()  # The step began anew, as retrieval does for each stage.
        self._told.append((now, done))
        # One older than the window stays, so that there is always a span to measure.
        while len(self._told) > 2 and self._told[1][0] <= now - self.window_s:
            self._told.popleft()

    @property
    def rate(self) -> float:
        """How much is done in a second; 0 while that is unknown."""
        if not self._told:
            return 0.0
        (first, before), (_, done) = self._told[0], self._told[-1]
        # Up to this moment: a job that stands still slows down although it tells nothing.
        seconds = self.clock() - first
        return (done - before) / seconds if seconds > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """How many seconds the rest will take; None if that is unknown."""
        if self._total is None or self.rate <= 0:
            return None
        return max(0, self._total - self._told[-1][1]) / self.rate
