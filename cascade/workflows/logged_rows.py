"""Training rows from the request log: logged features, graded by what came of the shown page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cascade.candidates import Candidates, Float32, Int32
from cascade.config import Config, features_of, schema_of
from cascade.errors import InputError
from cascade.events.requests import LoggedRequest, LoggedStage
from cascade.events.tables import CART, CLICK, FAVOURITE, IMPRESSION, PURCHASE, EventLog
from cascade.features import Features, difference
from cascade.pipeline import run_stages
from cascade.protocols import NEVER, Scores
from cascade.registry import text_digest
from cascade.training.dataset import Dataset
from cascade.workflows.logged import ByFunction, LoggedModels, candidates_of, stages_of
from cascade.workflows.rows import RowDocuments
from cascade.workflows.split import Part, part_of
from cascade.workflows.train import Prepared

GRADES: Mapping[str, float] = {CLICK: 1.0, FAVOURITE: 2.0, CART: 3.0, PURCHASE: 4.0}
_UNSTAGED = "requests whose page no stage has seen"

Events = Mapping[tuple[str, str], Mapping[str, int]]


@dataclass
class _Rows:
    """Collect the listings of one part."""

    matrices: list[Float32] = field(default_factory=list)
    places: list[tuple[str, float, Int32, list[str]]] = field(default_factory=list)

    def dataset(
        self, names: tuple[str, ...], events: Events, grades: Mapping[str, float]
    ) -> Dataset:
        """Return the listings, graded by the best that came of each row."""
        lengths = [len(matrix) for matrix in self.matrices]
        rows = [
            events.get((query_id, doc_id), {})
            for query_id, _, _, ids in self.places
            for doc_id in ids
        ]
        tasks = {
            action: np.array([row.get(action, 0) for row in rows], dtype=np.float32)
            for action in grades
        }
        best = [max((grades.get(a, 0.0) for a in row), default=0.0) for row in rows]
        width = len(names)
        return Dataset(
            names=names,
            matrix=np.concatenate([np.zeros((0, width), np.float32), *self.matrices]),
            grades=np.array(best, dtype=np.float32),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            query_ids=tuple(query_id for query_id, _, _, _ in self.places),
            counts={"shown": len(rows)},
            tasks=tasks,
            positions=np.concatenate([np.zeros(0, np.int32), *(p[2] for p in self.places)]),
            times=np.array([time for _, time, _, _ in self.places]),
        )


def prepared_from_requests(
    config: Config,
    requests: Iterable[LoggedRequest],
    log: EventLog,
    grades: Mapping[str, float] = GRADES,
) -> Prepared:
    """Return what every stage is trained from, out of logged features and what came of them.

    A listing is a shown page: the rows that a stage has seen (an admitted pin is none), each with
    the features that the model was given, the rank at which it was shown, and the grade of the
    best action on it.

    Args:
        config: Names the features, the split and the registry.
        requests: Of the request log; rankings of the caller's candidates are left out.
        log: The event log; its events join by query and document.
        grades: The grade of each action.

    Raises:
        InputError: If no page can be used, or a logged feature was another than it is by now.
    """
    schema = schema_of(config)
    features = features_of(config, schema)
    events, split = _events(log), config.settings.split
    models = LoggedModels(config)
    parts: dict[Part, _Rows] = {"train": _Rows(), "validation": _Rows(), "test": _Rows()}
    digests: set[str] = set()
    left: Counter[str] = Counter()
    checked: set[str] = set()
    for request in requests:
        if request.route != "search" or request.sort is not None:
            left[_UNSTAGED] += 1
            continue
        for stage in request.stages:
            if stage.model not in checked:
                _refuse_other(models, stage, features)
                checked.add(stage.model)
        part = part_of(request.text, split)
        if _add(parts[part], request, features.names):
            if part != "test":
                digests.add(text_digest(request.text))
        else:
            left[_UNSTAGED] += 1
    train, validation = (
        parts[p].dataset(features.names, events, grades) for p in ("train", "validation")
    )
    if not len(train):
        raise InputError(
            f"no row to train on: {left[_UNSTAGED]:,} requests were no searches through stages, "
            f"{len(parts['test'].places):,} are held out by [split]"
        )
    counts: dict[str, int] = {name: len(rows.places) for name, rows in parts.items()}
    source: dict[str, Any] = {"requests": dict(left), "events": str(log.root.name)}
    return Prepared(
        schema=schema,
        features=features,
        train=train,
        validation=validation,
        queries=counts,
        trained=sorted(digests),
        source=source,
    )


def _events(log: EventLog) -> Events:
    with closing(log.database()) as database:
        rows = database.execute(
            "select query_id, doc_id, action, count(*)::integer from events "
            "where action <> ? and query_id is not null and doc_id is not null group by all",
            [IMPRESSION],
        ).fetchall()
    found: dict[tuple[str, str], dict[str, int]] = {}
    for query_id, doc_id, action, count in rows:
        found.setdefault((query_id, doc_id), {})[action] = count
    return found


def _refuse_other(models: LoggedModels, stage: LoggedStage, features: Features) -> None:
    """Refuse a stage whose features, by name, are not those of the configuration."""
    logged = [
        d for d in models.bundle(stage.model).manifest.features if d["name"] in features.names
    ]
    names = [d["name"] for d in logged]
    now = [d for d in features.definitions() if d["name"] in names]
    now.sort(key=lambda d: names.index(d["name"]))
    differing = difference(logged, now)
    if differing:
        raise InputError(
            f"the log has features of {stage.model} that are others by now: {differing[0]}; give "
            "the new feature a name of its own, or train on requests that were made with it"
        )


def _add(rows: _Rows, request: LoggedRequest, names: tuple[str, ...]) -> bool:
    """Add the page of a request; return whether a stage has seen any row of it."""
    place = {doc_id: at for at, doc_id in enumerate(request.candidates)}
    shown = [(place[d], rank, d) for rank, d in enumerate(request.results, 1) if d in place]
    matrix = np.full((len(request.candidates), len(names)), np.nan, dtype=np.float32)
    seen = np.zeros(len(request.candidates), dtype=np.bool_)
    for stage, head in _heads(request):
        for at, name in enumerate(stage.names):
            if name in names:
                matrix[head, names.index(name)] = stage.matrix[:, at]
        seen[head] = True
    shown = [row for row in shown if seen[row[0]]]
    if not shown:
        return False
    places, ranks, ids = zip(*shown, strict=True)
    rows.matrices.append(matrix[list(places)])
    positions = np.array(ranks, dtype=np.int32) + request.offset
    rows.places.append((request.query_id, request.time, positions.astype(np.int32), list(ids)))
    return True


def _heads(request: LoggedRequest) -> list[tuple[LoggedStage, Int32]]:
    """Return each stage that ran with the places of the rows it saw, in the order it saw them."""
    found: list[tuple[LoggedStage, Int32]] = []
    numbers = tuple(map(str, range(len(request.candidates))))
    listing = candidates_of(
        replace(request, candidates=numbers, columns={}), RowDocuments(len(numbers))
    )

    def ranker(stage: LoggedStage) -> ByFunction:
        def scored(head: Candidates) -> Scores:
            found.append((stage, head.rows))
            return Scores(stage.scores)

        return ByFunction(scored)

    run_stages(stages_of(request, ranker), listing, NEVER)
    return [(stage, rows) for stage, rows in found if len(stage.matrix) == len(rows)]
