"""Page measures: the contract, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from cascade.candidates import Float64
from cascade.errors import nearest
from cascade.market import page_measures as page
from cascade.market.ranked import Ranked
from cascade.market.written import Parts, known

EXAMPLES = "write it as nDCG@10, nDCG(gain=price)@10, mean(price)@3 or position(purchase)"


class PageMeasure(Protocol):
    """Measure each request's page by each child; printed as people write it."""

    def per_request(self, ranked: Ranked) -> Float64:
        """Return float64[q, c]; NaN where the measure is undefined."""
        ...


def _err(parts: Parts) -> PageMeasure:
    found = parts.settings("gain", "max_rel")
    try:
        highest = float(found.get("max_rel", 4.0))
    except ValueError:
        raise parts.refuse(f"max_rel is {found['max_rel']!r}, no number") from None
    return page.PageERR(parts.cutoff(), found.get("gain", page.GAIN), highest)


def _position(parts: Parts) -> PageMeasure:
    parts.no_cutoff()
    return page.PagePosition(parts.only())


_PAGE: Mapping[str, Callable[[Parts], PageMeasure]] = {
    "nDCG": lambda parts: page.PageNDCG(parts.maybe_cutoff(), **parts.settings("gain")),
    "MRR": lambda parts: page.PageMRR(parts.maybe_cutoff(), **parts.settings("gain")),
    "ERR": _err,
    "recall": lambda parts: page.PageRecall(parts.cutoff(), **parts.settings("gain")),
    "mean": lambda parts: page.PageMean(parts.only(), parts.cutoff()),
    "min": lambda parts: page.PageMin(parts.only(), parts.cutoff()),
    "max": lambda parts: page.PageMax(parts.only(), parts.cutoff()),
    "total": lambda parts: page.PageTotal(parts.only(), parts.cutoff()),
    "distinct": lambda parts: page.PageDistinct(parts.only(), parts.cutoff()),
    "share": lambda parts: page.PageShare(parts.only(), parts.cutoff()),
    "position": _position,
}


PAGE_MEASURES = tuple(_PAGE)


def parse_page_measure(written: str) -> PageMeasure:
    """Return the page measure that prints as `written`; capitals do not matter in its name.

    Raises:
        InputError: Naming the part that is not understood, and what is accepted.
    """
    parts = Parts(written, "page measure", EXAMPLES)
    make = known(parts.name, _PAGE)
    if make is None:
        raise parts.refuse(f"no measure {parts.name!r}, {nearest(parts.name, _PAGE, len(_PAGE))}")
    return make(parts)
