"""How measures of pages and of markets are taken apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from cascade.errors import InputError, nearest

_Made = TypeVar("_Made")
_WRITTEN = re.compile(r"\s*(?P<name>\w+)\s*(?:\((?P<inside>.*)\))?\s*(?:@\s*(?P<at>[^@()]*?))?\s*")


class Parts:
    """Hold the parts of a written measure: NAME(INSIDE, ...)@CUTOFF."""

    def __init__(self, written: str, kind: str, examples: str) -> None:
        match = _WRITTEN.fullmatch(written)
        if match is None:
            raise InputError(f"{kind} {written!r} is not understood; {examples}")
        self.written, self.kind, self.examples = written, kind, examples
        self.name = match["name"]
        self.inside = [part.strip() for part in _split(match["inside"] or "") if part.strip()]
        self.at = match["at"]

    def refuse(self, why: str) -> InputError:
        """Return an error that says why, and how it is written."""
        return InputError(f"{self.kind} {self.written!r}: {why}; {self.examples}")

    def cutoff(self) -> int:
        """Return the whole number behind the sign @."""
        if self.at is None:
            raise self.refuse(f"{self.name} needs a cutoff")
        return self.whole(self.at, "cutoff")

    def maybe_cutoff(self) -> int | None:
        """Return the whole number behind the sign @, or None without one."""
        return None if self.at is None else self.cutoff()

    def no_cutoff(self) -> None:
        """Refuse a cutoff."""
        if self.at is not None:
            raise self.refuse(f"{self.name} has no cutoff")

    def whole(self, text: str, what: str) -> int:
        """Return a whole number."""
        if not (text.isascii() and text.isdigit()):
            raise self.refuse(f"{what} {text!r} is not a whole number of 1 or more")
        return int(text)

    def settings(self, *accepted: str) -> dict[str, str]:
        """Return the settings by name."""
        found: dict[str, str] = {}
        for part in self.inside:
            name, sign, value = (piece.strip() for piece in part.partition("="))
            if not sign or name not in accepted:
                raise self.refuse(f"no setting {name!r}, {nearest(name, accepted)}")
            if name in found:
                raise self.refuse(f"{name} is given twice")
            found[name] = value
        return found

    def only(self) -> str:
        """Return the one name that stands in the brackets."""
        if len(self.inside) != 1 or not re.fullmatch(r"\w+", self.inside[0]):
            raise self.refuse(f"{self.name} takes one column in its brackets")
        return self.inside[0]


def _split(inside: str) -> list[str]:
    """Return what stands between commas outside of brackets."""
    depth, parts = 0, [""]
    for sign in inside:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def known(name: str, among: Mapping[str, _Made]) -> _Made | None:
    """Return what has a name; capitals do not matter."""
    return next((made for one, made in among.items() if one.casefold() == name.casefold()), None)
