"""Logged requests as candidates, with the models and generations that the log names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from cascade.business import Business
from cascade.candidates import Candidates, Documents, Float32, Query
from cascade.catalogue.live import LiveCatalogue
from cascade.config import Config, business_with, open_engine, registry_of, schema_of, store_of
from cascade.errors import CascadeError, InputError, NotFoundError, nearest
from cascade.events.request_log import RequestLog
from cascade.events.requests import LoggedRequest, LoggedStage
from cascade.features import build_features
from cascade.filters import EVERYTHING, AllOf, parse
from cascade.pipeline import Outcome, Stage
from cascade.protocols import Engine, Scores
from cascade.rankers import OnnxRanker
from cascade.registry import Bundle, reference_of
from cascade.schema import Schema

Score = Callable[[Candidates], Scores]
RAN = (Outcome.RAN, Outcome.SHRUNK)
_NO_SCHEMA = Schema(id="id", fields=())


@dataclass(frozen=True)
class ByFunction:
    """Rank by a function of the candidates; fulfils `protocols.Ranker`.

    Attributes:
        of: Gives the scores.
        prepare: Gives what must be known of the whole list.
    """

    of: Score
    prepare: Callable[[Candidates], Candidates] = lambda candidates: candidates

    def prepared(self, candidates: Candidates) -> Candidates:
        """Return the candidates with what must be known of the whole list."""
        return self.prepare(candidates)

    def score(self, candidates: Candidates) -> Scores:
        """Return the function's scores."""
        return self.of(candidates)


@dataclass(frozen=True)
class LoggedModels:
    """Load the bundles that a log names, each once.

    Attributes:
        config: Names the registry.
    """

    config: Config
    _bundles: dict[str, Bundle] = field(default_factory=dict)
    _scorers: dict[str, OnnxRanker] = field(default_factory=dict)
    _rankers: dict[tuple[str, Schema], OnnxRanker] = field(default_factory=dict)
    _layers: dict[tuple[str, Schema], Business | None] = field(default_factory=dict)

    def bundle(self, label: str) -> Bundle:
        """Return the bundle of a label, name/version.

        Raises:
            NotFoundError: If the registry does not have it.
            ChecksumError: If it is damaged.
        """
        if label not in self._bundles:
            self._bundles[label] = registry_of(self.config).load(reference_of(label))
        return self._bundles[label]

    def scorer(self, stage: LoggedStage) -> OnnxRanker:
        """Return the model of a stage over the logged columns, whatever features made them.

        Raises:
            NotFoundError: If the registry does not have it.
            ChecksumError: If it is damaged.
        """
        if stage.model not in self._scorers:
            columns = [{"kind": "column", "name": name, "column": name} for name in stage.names]
            features = build_features(columns, _NO_SCHEMA)
            self._scorers[stage.model] = OnnxRanker(self.bundle(stage.model).model, features)
        return self._scorers[stage.model]

    def ranker(self, label: str, schema: Schema) -> OnnxRanker:
        """Return the model of a label over the features of present code.

        Raises:
            NotFoundError: If the registry does not have it.
            RefusedError: If it is damaged, or its features cannot be made as they were.
        """
        if (label, schema) not in self._rankers:
            self._rankers[label, schema] = self.bundle(label).ranker(schema)
        return self._rankers[label, schema]

    def business(self, label: str, schema: Schema) -> Business | None:
        """Return the configured business layer with the policy of a label, if there is one.

        Args:
            label: The bundle, as name/version; "" means the linear blend.
            schema: The fields of the documents.

        Raises:
            ConfigError: If its table is not sound with this policy.
            NotFoundError: If the registry does not have it.
            RefusedError: If it is damaged, or was made for other inputs or objectives.
        """
        if (label, schema) not in self._layers:
            reference = reference_of(label) if label else None
            self._layers[label, schema] = business_with(self.config, schema, reference)
        return self._layers[label, schema]


def candidates_of(
    request: LoggedRequest, documents: Documents, filters: AllOf = EVERYTHING
) -> Candidates:
    """Return what a request retrieved, in retrieval's order, over present documents.

    Args:
        request: The request.
        documents: Where the columns of the documents are read.
        filters: The request's, for the schema of these documents.
    """
    count = len(request.candidates) - request.admitted
    return _candidates(request, documents, filters, slice(0, count), request.columns)


def admitted_of(request: LoggedRequest, documents: Documents, filters: AllOf) -> Candidates | None:
    """Return the pinned documents that joined, None if there were none."""
    if not request.admitted:
        return None
    count = len(request.candidates)
    return _candidates(request, documents, filters, slice(count - request.admitted, count), {})


def _candidates(
    request: LoggedRequest,
    documents: Documents,
    filters: AllOf,
    part: slice,
    columns: Mapping[str, Float32],
) -> Candidates:
    ids = request.candidates[part]
    rows = documents.rows(ids)
    return Candidates(
        queries=(query_of(request, filters),),
        offsets=np.array([0, len(ids)], dtype=np.int64),
        rows=rows,
        scores=request.engine_scores[part],
        documents=documents,
        columns=columns,
        doc_ids=np.array(ids, dtype=object) if (rows < 0).any() else None,
    )


def query_of(request: LoggedRequest, filters: AllOf = EVERYTHING) -> Query:
    """Return the query of a request as features saw it."""
    return Query(
        id=request.query_id,
        text=request.text,
        filters=filters,
        preference=request.preference,
        session=request.seen,
        surface=request.surface,
        time=request.time,
    )


def stages_of(
    request: LoggedRequest, ranker: Callable[[LoggedStage], ByFunction]
) -> tuple[Stage, ...]:
    """Return the stages that ran, each on as many rows as it did."""
    return tuple(
        Stage(stage.name, ranker(stage), max(len(stage.scores), 1))
        for stage in request.stages
        if stage.outcome in RAN
    )


def filters_of(request: LoggedRequest, schema: Schema) -> AllOf:
    """Return the filters that a request gave.

    Raises:
        FilterError: If the schema does not have their fields any more.
    """
    return parse(request.filters, schema)


Opened = tuple[Engine, LiveCatalogue]


def over_generations(
    config: Config, requests: Iterable[LoggedRequest], generation: str | None = None
) -> Iterator[tuple[LoggedRequest, Opened | CascadeError]]:
    """Yield each request with the engine and catalogue of its generation, or why there is none.

    One generation is open at a time, until a request names another.

    Args:
        config: Names the store.
        requests: The requests.
        generation: The one that is opened for all; None opens what each request names.
    """
    for module in config.settings.features.modules:
        importlib.import_module(module)
    held: Opened | CascadeError | None = None
    now = ""
    try:
        for request in requests:
            wanted = generation or request.generation
            if held is None or wanted != now:
                if isinstance(held, tuple):
                    held[0].close()
                held, now = _opened(config, wanted), wanted
            yield request, held
    finally:
        if isinstance(held, tuple):
            held[0].close()


def _opened(config: Config, generation: str) -> Opened | CascadeError:
    try:
        store = store_of(config)
        names = store.names()
        if generation not in names:
            return NotFoundError(
                f"there is no generation {generation}; {nearest(generation, names)}"
            )
        return open_engine(config, schema_of(config), store.get(generation))
    except CascadeError as error:
        return error


def chosen_requests(
    log: RequestLog, query_id: str | None, sample: int | None, cascade: str | None = None
) -> Iterator[LoggedRequest]:
    """Yield the requests of a log that are asked for.

    Args:
        log: The log.
        query_id: Those of this query alone.
        sample: So many of them, the same each time.
        cascade: Those of this cascade alone.

    Raises:
        NotFoundError: If there is no log, or it does not have the query.
        InputError: If both a query and a sample are asked for.
    """
    if query_id is not None and sample is not None:
        raise InputError("a query and a sample exclude each other; leave one of them out")
    found = log.requests(query_id) if sample is None else iter(log.sample(sample))
    empty = True
    for request in found:
        if cascade is None or request.cascade == cascade:
            empty = False
            yield request
    if empty:
        what = f"the query {query_id!r}" if query_id is not None else f"cascade {cascade!r}"
        raise NotFoundError(f"{log.root} has no request of {what}")
