"""Click models: what clicks say of a document once their circumstances are taken away."""

from collections.abc import Callable, Mapping

from cascade.events.clicks.cascade import fit_cascade, fit_sdbn
from cascade.events.clicks.coec import fit_coec
from cascade.events.clicks.ctr import fit_ctr
from cascade.events.clicks.fitted import (
    Chances,
    Fitted,
    Fitting,
    Likelihood,
    likelihood,
)
from cascade.events.clicks.network import fit_dbn
from cascade.events.clicks.pages import Between, Pages, read_pages
from cascade.events.clicks.position import fit_pbm

MODELS: Mapping[str, Callable[[Pages, Fitting | None], Fitted]] = {
    "ctr": fit_ctr,
    "coec": fit_coec,
    "pbm": fit_pbm,
    "cascade": fit_cascade,
    "sdbn": fit_sdbn,
    "dbn": fit_dbn,
}

__all__ = [
    "MODELS",
    "Between",
    "Chances",
    "Fitted",
    "Fitting",
    "Likelihood",
    "Pages",
    "fit_cascade",
    "fit_coec",
    "fit_ctr",
    "fit_dbn",
    "fit_pbm",
    "fit_sdbn",
    "likelihood",
    "read_pages",
]
