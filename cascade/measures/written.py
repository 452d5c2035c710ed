"""How measures are written, and which there are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from cascade.errors import InputError, nearest
from cascade.measures import counted, ranked
from cascade.measures.base import GradedMeasure

_CLASSES: tuple[type[GradedMeasure], ...] = (
    ranked.NDCG,
    ranked.DCG,
    ranked.ReciprocalRank,
    ranked.AveragePrecision,
    ranked.Recall,
    ranked.Precision,
    ranked.Success,
    ranked.RPrecision,
    ranked.InterpolatedPrecision,
    ranked.RankBiasedPrecision,
    ranked.ExpectedReciprocalRank,
    ranked.Compatibility,
    counted.BinaryPreference,
    counted.Accuracy,
    counted.Judged,
    counted.SetPrecision,
    counted.SetRecall,
    counted.SetF,
    counted.SetAP,
    counted.Retrieved,
    counted.Relevant,
    counted.RelevantRetrieved,
)
MEASURES: Mapping[str, Callable[..., GradedMeasure]] = {
    **{measure.NAME: measure for measure in _CLASSES},
    "MRR": ranked.ReciprocalRank,
    "MAP": ranked.AveragePrecision,
    "Recall": ranked.Recall,
    "Precision": ranked.Precision,
}
_WRITTEN = re.compile(r"\s*(?P<name>\w+)\s*(?:\((?P<settings>[^()]*)\))?\s*(?:@(?P<at>.*))?")
_EXAMPLES = "write it as nDCG@10, nDCG(dcg='exp-log2')@10, RR@10, R@100 or P(rel=2)@10"


def parse_measure(written: str) -> GradedMeasure:
    """Return the measure that prints as `written`; capitals do not matter.

    `MRR`, `MAP`, `Recall` and `Precision` are read as `RR`, `AP`, `R` and `P`.

    Raises:
        InputError: Naming the part that is not understood, and what is accepted.
    """
    name, listed, at = split_measure(written)
    folded = {known.casefold(): measure for known, measure in MEASURES.items()}
    measure = folded.get(name.casefold())
    if measure is None:
        # Capitals must not hide what is near.
        close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
        meant = [known for known in MEASURES if known.casefold() in close]
        raise InputError(
            f"measure {written!r}: no measure {name!r}; {nearest((meant or [name])[0], MEASURES)}"
        )
    return measure(**_settings(written, listed, at, measure))


def split_measure(written: str) -> tuple[str, dict[str, str], str | None]:
    """Return the name, the settings by name, and what stands after the sign @.

    Raises:
        InputError: If it is not of the form NAME(SETTING=VALUE, ...)@CUTOFF.
    """
    match = _WRITTEN.fullmatch(written)
    if match is None:
        raise InputError(f"measure {written!r} is not understood; {_EXAMPLES}")
    settings = {}
    for part in _parts(match["settings"] or ""):
        name, _, value = part.partition("=")
        if name.strip() in settings:
            raise InputError(f"measure {written!r}: {name.strip()} is given twice")
        settings[name.strip()] = value.strip().strip("'\"")
    at = match["at"]
    return match["name"], settings, None if at is None else at.strip()


def cutoff_of(written: str, value: str) -> int:
    """Return a cutoff.

    Raises:
        InputError: If it is not a whole number.
    """
    if not (value.isascii() and value.isdigit()):
        message = f"measure {written!r}: cutoff {value!r} is not a whole number of 1 or more"
        raise InputError(message)
    return int(value)


def _parts(listed: str) -> Iterator[str]:
    """Yield what stands between commas; braces hold together."""
    for part in re.findall(r"(?:[^,{]|\{[^}]*\})+", listed):
        if part.strip():
            yield part


def _settings(
    written: str, listed: Mapping[str, str], at: str | None, measure: Callable[..., GradedMeasure]
) -> dict[str, Any]:
    known = {field.name: field for field in fields(measure)}  # type: ignore[arg-type]
    after = getattr(measure, "AT")  # noqa: B009  (a class behind a callable)
    accepted = [name for name in known if name != after]
    settings: dict[str, Any] = {}
    for name, value in listed.items():
        if name not in accepted:
            told = nearest(name, accepted) if accepted else "it has none"
            raise InputError(f"measure {written!r}: no setting {name!r}; {told}. {_EXAMPLES}")
        settings[name] = _READ.get(name, _number)(written, name, value)
    name = getattr(measure, "NAME")  # noqa: B009
    if after not in known:
        if at is not None:
            raise InputError(f"measure {written!r}: {name} has no cutoff; write it without @{at}")
    elif at is not None:
        settings[after] = cutoff_of(written, at) if after == "cutoff" else _at(written, after, at)
    elif known[after].default is MISSING:
        example = "10" if after == "cutoff" else "0.1"
        raise InputError(f"measure {written!r} needs a {after}, such as {name}@{example}")
    return settings


def _at(written: str, name: str, value: str) -> float:
    return _number(written, name, value)


def _number(written: str, name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        message = f"measure {written!r}: {name} is {value!r}, not a number; {_EXAMPLES}"
        raise InputError(message) from None


def _text(written: str, name: str, value: str) -> str:
    return value


def _flag(written: str, name: str, value: str) -> bool:
    found = {"true": True, "false": False}.get(value.casefold())
    if found is None:
        raise InputError(f"measure {written!r}: {name} is {value!r}; accepted: True, False")
    return found


def _gains(written: str, name: str, value: str) -> tuple[tuple[float, float], ...]:
    pairs = [pair.partition(":") for pair in value.strip("{} ").split(",") if pair.strip()]
    return tuple((_number(written, name, g), _number(written, name, to)) for g, _, to in pairs)


_READ: Mapping[str, Callable[[str, str, str], Any]] = {
    "dcg": _text,
    "gains": _gains,
    "judged_only": _flag,
    "normalize": _flag,
    "relative": _flag,
}
