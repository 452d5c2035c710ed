"""From an event log to grades: judgments by a click model, and rows to train on."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from cascade.candidates import Float32
from cascade.config import Config
from cascade.config.click_settings import ClickSettings
from cascade.config.stage_settings import SplitSettings
from cascade.errors import InputError, nearest
from cascade.events.clicks import (
    MODELS,
    Fitted,
    Fitting,
    Likelihood,
    Pages,
    likelihood,
    read_pages,
)
from cascade.events.clicks.pages import Bool, Float64, Int64
from cascade.events.propensities import Propensities, propensities
from cascade.events.tables import EventLog
from cascade.judgments import Judgments
from cascade.registry import text_digest
from cascade.training.dataset import Dataset
from cascade.workflows.click_grades import gained_by, graded, pair_of, scaled
from cascade.workflows.draws import drawing_of
from cascade.workflows.progress import Progress, silent
from cascade.workflows.split import Part, divide_log
from cascade.workflows.train import LEAST_QUERIES, Prepared

COLUMNS = ("query_id", "query", "doc_id", "grade", "impressions", "clicks")
# Pair numbers travel through the grades of a dataset, which are float32 and exact up to here.
MOST_PAIRS = 2**24 - 1


@dataclass(frozen=True)
class ClickJudgments:
    """Tell what a click model made of a log.

    Attributes:
        model: The model.
        queries: How many queries have grades.
        pairs: How many grades there are.
        left_out: How many pairs were shown too seldom.
        searches: How many searches were read.
        clicks: How many clicked rows.
        iterations: Rounds of the fit.
        likelihood: How well the model foresees the clicks that it was fitted on.
        parameters: What else the model found.
    """

    model: str
    queries: int
    pairs: int
    left_out: int
    searches: int
    clicks: int
    iterations: int
    likelihood: Likelihood
    parameters: Mapping[str, Float64]


def write_click_judgments(
    log: EventLog, model: str, settings: ClickSettings, out: Path
) -> ClickJudgments:
    """Fit a click model to a log and write its grades as a judgments file.

    The grade is attraction, times satisfaction where the model has it, in proportion to the
    highest of the log, which gets `top_grade`. The query text is the query id.

    Args:
        log: The log.
        model: "ctr", "coec", "pbm", "cascade", "sdbn" or "dbn".
        settings: Prior, least impressions and scale.
        out: The file, with tabs between columns; `.gz` is packed.

    Raises:
        InputError: If there is no such model, or nothing is left to grade.
    """
    if model not in MODELS:
        raise InputError(f"there is no click model {model!r}; {nearest(model, MODELS)}")
    if ".tsv" not in out.suffixes:
        raise InputError(f"{out}: judgments are written with tabs; give a name that ends in .tsv")
    pages = read_pages(log)
    fitted = MODELS[model](pages, Fitting(strength=settings.strength))
    shown = pages.per_pair()
    kept = np.flatnonzero(shown >= settings.minimum_impressions)
    if not len(kept):
        raise InputError(
            f"no pair of query and document was shown {settings.minimum_impressions} times; "
            f"the most is {int(shown.max())}. [clicks] minimum_impressions says how many it takes"
        )
    _write(out, pages, kept, scaled(fitted.relevance[kept], settings.top_grade))
    return ClickJudgments(
        model=model,
        queries=len(np.unique(pages.pair_queries[kept])),
        pairs=len(kept),
        left_out=int((shown > 0).sum()) - len(kept),
        searches=len(pages.lengths),
        clicks=int(pages.clicks.sum()),
        iterations=fitted.iterations,
        likelihood=likelihood(fitted, pages),
        parameters=_told(fitted),
    )


def prepared_from_clicks(config: Config, log: Path, progress: Progress = silent) -> Prepared:
    """Return rows to train on from what a log's shoppers were shown and clicked.

    Retrieval, features, sampled negatives and the split of queries are those of training on
    judgments; only where grades come from differs:

    - "none": clicks over impressions of a pair, whatever the rank;
    - "ipw": the mean of clicks over propensities, each impression weighted by its propensity,
      which is clicks over the sum of propensities (a Hajek estimator; Joachims et al. 2017);
    - "lambdarank": a listing is one search in the order that it showed, a grade its clicks, for
      XGBoost's `lambdarank_unbiased` (Hu et al., "Unbiased LambdaMART", WWW 2019). Held-out
      listings keep the grades of "ipw", so that it stops by a measure without the bias.

    Args:
        config: The settings; `[clicks]` says how.
        log: The folder of the event log.
        progress: Told how far it is.

    Raises:
        InputError: If the log leaves too little to train on.
    """
    settings = config.settings.clicks
    progress("read the event log", 0, None)
    pages = read_pages(EventLog(log))
    chances = None if settings.debias == "none" else propensities(pages, settings.propensities)
    kept = pages.per_pair() >= settings.minimum_impressions
    parts, dropped = _divided(pages, config.settings.split)
    used = [*parts["train"], *parts["validation"]]
    if len(parts["train"]) < LEAST_QUERIES:
        raise InputError(
            f"{log} leaves {len(parts['train'])} queries to train on; at least {LEAST_QUERIES} are "
            "needed. [split] says how many are held out"
        )
    drawing = drawing_of(config, _numbered(pages, kept, used), len(parts["train"]))
    rows = drawing.rows((), config.settings.stages[0].window, progress)
    progress("grade what was shown", 0, None)
    grades = graded(config, pages, chances, *rows)
    train, validation = (_labelled(part, grades, pages) for part in rows)
    drawn = None
    if settings.debias == "lambdarank":
        seed = config.settings.training.seed
        train = by_search(train, pair_of(rows[0]), pages, settings, seed)
    else:
        drawn = replace(drawing, judgments=_numbered(pages, kept, used, grades)).rows
    return Prepared(
        schema=drawing.schema,
        features=drawing.features,
        train=train,
        validation=validation,
        queries={
            **{name: len(ids) for name, ids in parts.items()},
            **({"dropped": len(dropped)} if dropped else {}),
        },
        # What was dropped is neither trained nor tested on.
        trained=sorted({text_digest(text) for text in [*used, *dropped]}),
        source=_source(config, log, pages, chances),
        drawn=drawn,
    )


def _divided(pages: Pages, split: SplitSettings) -> tuple[dict[Part, list[str]], list[str]]:
    """Return the query texts of each part, and those that are dropped."""
    last = np.full(len(pages.texts), -np.inf)
    np.maximum.at(last, pages.queries, pages.times)
    wanted: dict[str, list[str]] = {}
    for pair in np.flatnonzero(pages.per_pair(pages.clicks) > 0).tolist():
        document = pages.doc_ids[pages.pair_documents[pair]]
        wanted.setdefault(pages.texts[pages.pair_queries[pair]], []).append(document)
    return divide_log(dict(zip(pages.texts, last.tolist(), strict=True)), wanted, split)


def _labelled(rows: Dataset, grades: Float64, pages: Pages) -> Dataset:
    """Return rows with the grades of their pairs in place of the numbers."""
    pair = pair_of(rows)
    return replace(
        rows,
        grades=_taken(grades, pair),
        tasks={name: _taken(pages.per_pair(n), pair) for name, n in pages.events.items()},
        counts={
            "shown": rows.counts["judged"],
            "sampled": rows.counts["sampled"],
            "unretrieved": rows.counts["unretrieved"],
        },
    )


def by_search(
    rows: Dataset, pair: Int64, pages: Pages, settings: ClickSettings, seed: int
) -> Dataset:
    """Return a listing for each of a sample of searches, its rows in the order that was shown.

    The rows that were sampled for a query and not shown stand at the end of each listing.

    Args:
        rows: Of listings by query text.
        pair: int64[n], the pair of each row; -1 for one that was sampled.
        pages: What was shown and clicked.
        settings: How many searches, and what actions count.
        seed: Of the sample.
    """
    row_of = np.full(pages.pair_count, -1, dtype=np.int64)
    known = np.flatnonzero(pair >= 0)
    row_of[pair[known]] = known
    here = row_of[pages.pairs] >= 0
    gained = gained_by(pages, settings) * here
    # A search without a click teaches no order.
    fruitful = np.flatnonzero(np.bincount(pages.page, gained, len(pages.lengths)) > 0)
    drawn = np.random.default_rng(seed).permutation(fruitful)[: settings.searches]
    chosen: Bool = np.zeros(len(pages.lengths), dtype=np.bool_)
    chosen[drawn] = True
    shown = np.flatnonzero(chosen[pages.page] & here)
    query_of = {text: i for i, text in enumerate(rows.query_ids)}
    listing_of = np.array([query_of.get(text, -1) for text in pages.texts], dtype=np.int64)
    searches = np.flatnonzero(chosen)
    owners, sampled = _repeated(rows, pair < 0, listing_of[pages.queries[searches]])
    of_search = np.concatenate([np.searchsorted(searches, pages.page[shown]), owners])
    source = np.concatenate([row_of[pages.pairs[shown]], sampled])
    ranks = np.concatenate([pages.ranks[shown], np.zeros(len(sampled), dtype=np.int32)])
    grades = np.concatenate([gained[shown], np.zeros(len(sampled))])
    order = np.lexsort((np.where(ranks > 0, ranks, np.iinfo(np.int32).max), of_search))
    lengths = np.bincount(of_search, minlength=len(searches))
    return Dataset(
        names=rows.names,
        matrix=rows.matrix[source[order]],
        grades=grades[order].astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        query_ids=tuple(pages.texts[q] for q in pages.queries[searches].tolist()),
        counts={**rows.counts, "searches": len(searches)},
        positions=ranks[order].astype(np.int32),
        times=pages.times[searches],
    )


def _repeated(rows: Dataset, wanted: Bool, listings: Int64) -> tuple[Int64, Int64]:
    """Return the wanted rows of each of a sequence of listings, and which of them each is for."""
    found = np.flatnonzero(wanted)
    first = np.searchsorted(found, rows.offsets[:-1])[listings]
    count = np.searchsorted(found, rows.offsets[1:])[listings] - first
    owners = np.repeat(np.arange(len(listings)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return owners, found[first[owners] + within]


def _numbered(
    pages: Pages, kept: Bool, used: Sequence[str], given: Float64 | None = None
) -> Judgments:
    """Return judgments of these texts: what is given for each pair, else its number from 1."""
    if pages.pair_count > MOST_PAIRS:
        raise InputError(
            f"the log shows {pages.pair_count:,} pairs of query and document; at most "
            f"{MOST_PAIRS:,} can be trained on at once. Import fewer days, or a sample"
        )
    values = np.arange(1.0, pages.pair_count + 1) if given is None else given
    grades: dict[str, dict[str, float]] = {text: {} for text in used}
    for number in np.flatnonzero(kept).tolist():
        text = pages.texts[pages.pair_queries[number]]
        if text in grades:
            document = pages.doc_ids[pages.pair_documents[number]]
            grades[text][document] = float(values[number])
    return Judgments({text: text for text in used}, grades)


def _taken(values: Float64, pair: Int64) -> Float32:
    return np.where(pair >= 0, values[pair], 0.0).astype(np.float32)


def _source(
    config: Config, log: Path, pages: Pages, chances: Propensities | None
) -> dict[str, Any]:
    source: dict[str, Any] = {
        "clicks": log.name,
        "searches": len(pages.lengths),
        "clicked": int(pages.clicks.sum()),
        "from": float(pages.times.min()),
        "to": float(pages.times.max()),
        "engine": config.settings.engine.kind,
        "settings": config.settings.clicks.model_dump(),
    }
    if chances is not None:
        source["propensities"] = {
            "source": chances.source,
            "exponents": {
                name: None if np.isnan(e) else round(float(e), 4)
                for name, e in zip(chances.surfaces, chances.exponents, strict=True)
            },
        }
    return source


def _told(fitted: Fitted) -> dict[str, Float64]:
    return {name: np.round(values, 4) for name, values in fitted.parameters.items()}


def _write(out: Path, pages: Pages, kept: Int64, grades: Float64) -> None:
    shown, clicked = pages.per_pair(), pages.per_pair(pages.clicks)
    order = kept[np.lexsort((-grades, pages.pair_queries[kept]))]
    grade = dict(zip(kept.tolist(), grades.tolist(), strict=True))
    with _opened(out) as stream:
        writer = csv.writer(
            stream, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n"
        )
        writer.writerow(COLUMNS)
        for pair in order.tolist():
            text = " ".join(pages.texts[pages.pair_queries[pair]].split())
            row = (text, text, pages.doc_ids[pages.pair_documents[pair]], f"{grade[pair]:.6g}")
            writer.writerow([*row, int(shown[pair]), int(clicked[pair])])


def _opened(out: Path) -> IO[str]:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".gz":
        return gzip.open(out, "wt", encoding="utf-8", newline="")
    return out.open("w", encoding="utf-8", newline="")
