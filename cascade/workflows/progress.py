"""How a long job tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Told the step's name, how much of it is done, and how much there is (None: unknown)."""


def silent(step: str, done: int, total: int | None) -> None:
    """Tell nobody."""


def step(progress: Progress, name: str) -> Callable[[int, int], None]:
    """Return the progress of one named step, told (done, total)."""
    return lambda done, total: progress(name, done, total)
