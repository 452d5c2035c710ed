"""The market that a business policy is searched in: judged requests as the stages rank them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade.business import Business, LinearBlend, build_business
from cascade.business.build import build_shape
from cascade.business.inputs import Head, PolicyInputs, Surface, relevance_scores
from cascade.business.objectives import BaseObjective
from cascade.business.shape import Shape
from cascade.candidates import Candidates, concatenated
from cascade.config import Config, judgments_columns, open_cascade
from cascade.errors import ConfigError, InputError, nearest
from cascade.features.earlier import stage_column
from cascade.judgments import Judgments, read_judgments
from cascade.market.listings import Listings
from cascade.pipeline import Cascade, run_stages
from cascade.protocols import NEVER, Asked
from cascade.registry import Models
from cascade.training.evolution.samples import Sample
from cascade.workflows.ahead import Ahead
from cascade.workflows.clock import clock_of
from cascade.workflows.draws import asked_at
from cascade.workflows.market_columns import MarketColumns
from cascade.workflows.progress import Progress, silent
from cascade.workflows.runs import unhurried
from cascade.workflows.split import Part, divide_judgments

_LEARNED = ("model", "preference", "page")


@dataclass(frozen=True)
class Market:
    """Hold the requests of each part, and what a policy of them sees.

    Attributes:
        parts: The requests by part, each with the first rows of its listing.
        windows: The same rows as serving holds them.
        texts: The query texts of each part.
        inputs: What a policy reads of each row.
        shape: Of the policy.
        objectives: Those that are declared.
        business: The layer with its rules and bounds.
        models: The bundle of each stage that ranked them, as name/version.
        generation: Of the documents.
    """

    parts: Mapping[Part, Sample]
    windows: Mapping[Part, Candidates]
    texts: Mapping[Part, tuple[str, ...]]
    inputs: PolicyInputs
    shape: Shape
    objectives: tuple[BaseObjective, ...]
    business: Business
    models: Mapping[str, str]
    generation: str


def market_of(
    config: Config, judgments: Path, *, models: Models = "live", progress: Progress = silent
) -> Market:
    """Rank judged queries and return the rows that the business layer would reorder.

    Args:
        config: The settings; objectives, window and rules are those of `[business]`.
        judgments: The file; an unjudged row has the gain 0.
        models: Which models rank.
        progress: Told how far it is.

    Raises:
        ConfigError: If objectives, inputs or columns are not sound.
        InputError: If a part has no request with rows.
    """
    read = read_judgments(judgments, judgments_columns(config))
    divided, _ = divide_judgments(read, config.settings.split)
    config, raw = without_policy(config)
    cascade = unhurried(open_cascade(config, models))
    with closing(cascade.engine):
        schema = cascade.documents.schema
        inputs, shape = build_shape(raw, schema, source=str(config.path))
        business = build_business(raw, schema, source=str(config.path))
        objectives = objectives_of(business)
        settings = config.settings.evolution
        columns = MarketColumns.of(settings, schema, objectives, str(config.path))
        asking = _Asking.of(cascade, business, clock_of(config, cascade.documents), inputs)
        parts: dict[Part, Sample] = {}
        windows: dict[Part, Candidates] = {}
        for part in ("train", "validation", "test"):
            wanted = read.only(divided[part])
            told = f"rank {part} requests"
            windows[part] = _windows(asking, wanted, told, progress)
            parts[part] = _sample(windows[part], wanted, inputs, columns)
            _check_heads(raw, inputs, windows[part], str(config.path))
        models_used, generation = cascade.models, cascade.documents.generation
    texts = {part: tuple(q.text for q in window.queries) for part, window in windows.items()}
    return Market(
        parts, windows, texts, inputs, shape, objectives, business, models_used, generation
    )


def without_policy(config: Config) -> tuple[Config, Mapping[str, Any]]:
    """Return a configuration whose business layer has no learned policy, and its table.

    Raises:
        ConfigError: If it has no business layer.
    """
    raw = config.settings.business
    if raw is None:
        line = "business: is missing; a policy needs a table [business] with objectives"
        raise ConfigError(str(config.path), [line])
    plain = {key: value for key, value in raw.items() if key not in _LEARNED}
    settings = config.settings.model_copy(update={"business": plain})
    return replace(config, settings=settings), plain


def objectives_of(business: Business) -> tuple[BaseObjective, ...]:
    """Return the objectives that a business layer without a learned policy declares."""
    assert isinstance(business.policy, LinearBlend)
    return tuple(o for o in business.policy.objectives if isinstance(o, BaseObjective))


@dataclass(frozen=True)
class _Asking:
    """Say how judged queries are asked.

    Attributes:
        cascade: What ranks them.
        business: Whose window and whose retrieval rules hold.
        time: The clock that features read, in seconds since 1970.
        surfaces: Those that inputs name and none, which requests have in turn: judgments do not
            say on which they were made.
    """

    cascade: Cascade
    business: Business
    time: float
    surfaces: tuple[str | None, ...]

    @classmethod
    def of(cls, cascade: Cascade, business: Business, time: float, inputs: PolicyInputs) -> _Asking:
        """Return how requests are asked for a policy of these inputs."""
        named = (one.surface for one in inputs.inputs if isinstance(one, Surface))
        return cls(cascade, business, time, (None, *named))


def _windows(asking: _Asking, judgments: Judgments, told: str, progress: Progress) -> Candidates:
    """Return the first rows of each query that has any, as the last stage ranks them.

    Raises:
        InputError: If no query has one.
    """
    cascade, business, surfaces = asking.cascade, asking.business, asking.surfaces
    ask = asked_at(asking.time, business)
    queries = [
        replace(ask(query_id, text), surface=surfaces[number % len(surfaces)])
        for number, (query_id, text) in enumerate(judgments.texts.items())
    ]
    engine, asked = Ahead(cascade.engine, queries), Asked(minimum_match=cascade.minimum_match)
    found: list[Candidates] = []
    for number, query in enumerate(queries):
        listing = engine.retrieve([query], cascade.size, asked).candidates
        ranked, _ = run_stages(cascade.stages, listing, NEVER)
        if len(ranked):
            found.append(ranked.head(business.window).bare())
        if number % 20 == 19:
            progress(told, number + 1, len(queries))
    progress(told, len(queries), len(queries))
    if not found:
        raise InputError(
            f"{told}: none of {len(queries)} has a result; give more judgments, or other shares "
            "in [split]"
        )
    return concatenated(found)


def _check_heads(
    raw: Mapping[str, Any], inputs: PolicyInputs, window: Candidates, source: str
) -> None:
    """Refuse heads that no stage has left with the rows: they would be 0 in all of them.

    Raises:
        ConfigError: It names the heads that there are.
    """
    heads = [name for name in window.columns if not name.startswith(stage_column(""))]
    asked = {
        f"business.policy.inputs: {one.name}": one.column
        for one in inputs.inputs
        if isinstance(one, Head)
    }
    if "guard_gain" in raw:
        asked["business.guard_gain"] = str(raw["guard_gain"])
    problems = [
        f"{here}: no stage leaves a head {head!r}; {nearest(head, heads, len(heads))}"
        for here, head in asked.items()
        if head not in heads
    ]
    if problems:
        raise ConfigError(source, problems)


def _sample(
    window: Candidates, judgments: Judgments, inputs: PolicyInputs, columns: MarketColumns
) -> Sample:
    gains: list[float] = []
    ids = window.ids()
    for number, query in enumerate(window.queries):
        grades = judgments.grades[query.id]
        shown = ids[window.offsets[number] : window.offsets[number + 1]]
        gains += [grades.get(doc_id, 0.0) for doc_id in shown]
    values = columns.values(window, np.array(gains, dtype=np.float32))
    return Sample(
        Listings(window.offsets, values, columns.codes(window)),
        relevance_scores(window),
        inputs.matrix(window),
        inputs.names,
    )
