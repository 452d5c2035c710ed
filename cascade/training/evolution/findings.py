"""Findings: what lint tells of a search, and which of it stops one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from cascade.errors import RefusedError

Code = Literal[
    "flat-relevance",
    "idle-bound",
    "idle-input",
    "no-positives",
    "no-relevance",
    "plain-function",
    "unmet-bound",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """Tell one thing that is wrong.

    Attributes:
        code: Names the kind of finding; what `allow` takes.
        message: What is wrong, why, and what to do.
        refused: Whether a search does not begin unless it is allowed.
    """

    code: Code
    message: str
    refused: bool = True

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def refuse(findings: Iterable[Finding], allow: Collection[str] = ()) -> None:
    """Refuse a search for its findings, but for the codes that are allowed.

    Raises:
        RefusedError: With every finding that is left.
    """
    left = [finding for finding in findings if finding.refused and finding.code not in allow]
    if left:
        codes = ", ".join(sorted({f'"{finding.code}"' for finding in left}))
        lines = "\n  ".join(str(finding) for finding in left)
        raise RefusedError(
            f"the fitness is refused (evolution.allow = [{codes}] lets it through):\n  {lines}"
        )


def refused_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings, those that stop a search before those that only tell."""
    return tuple(sorted(findings, key=lambda finding: not finding.refused))
