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
from cascade.config.stage_settings import SplitSettings
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
from cascade.workflows.split import Part, divide_log
from cascade.workflows.train import Prepared

GRADES: Mapping[str, float] = {CLICK: 1.0, FAVOURITE: 2.0, CART: 3.0, PURCHASE: 4.0}
_UNSTAGED = "requests whose page no stage has seen"

Events = Mapping[tuple[str, str], Mapping[str, int]]


@dataclass
class _Rows:
    """Collect listings: of each its matrix, its query's id and text, time, ranks, documents."""

    matrices: list[Float32] = field(default_factory=list)
    places: list[tuple[str, str, float, Int32, list[str]]] = field(default_factory=list)

    def dataset(
        self, names: tuple[str, ...], events: Events, grades: Mapping[str, float]
    ) -> Dataset:
        """Return all listings, graded by the best that came of each row."""
        lengths = [len(matrix) for matrix in self.matrices]
        rows = [
            events.get((query_id, doc_id), {})
            for query_id, _, _, _, ids in self.places
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
            query_ids=tuple(place[0] for place in self.places),
            counts={"shown": len(rows)},
            tasks=tasks,
            positions=np.concatenate([np.zeros(0, np.int32), *(p[3] for p in self.places)]),
            times=np.array([place[2] for place in self.places], dtype=np.float64),
        )

    def divided(
        self, split: SplitSettings, events: Events, grades: Mapping[str, float]
    ) -> tuple[list[Part | None], list[str]]:
        """Return the part of each listing, None where it is dropped, and the texts not tested on.

        Args:
            split: How query texts are divided.
            events: What came of the rows.
            grades: The actions that make a document one that its query shares.
        """
        last: dict[str, float] = {}
        wanted: dict[str, set[str]] = {}
        for query_id, text, time, _, ids in self.places:
            last[text] = max(time, last.get(text, time))
            acted = (d for d in ids if any(a in grades for a in events.get((query_id, d), ())))
            wanted.setdefault(text, set()).update(acted)
        parts, dropped = divide_log(last, wanted, split)
        part_of = {text: part for part, texts in parts.items() for text in texts}
        untested = [*parts["train"], *parts["validation"], *dropped]
        return [part_of.get(place[1]) for place in self.places], untested


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
    models, rows = LoggedModels(config), _Rows()
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
        if not _add(rows, request, features.names):
            left[_UNSTAGED] += 1
    events = _events(log)
    parts, untested = rows.divided(config.settings.split, events, grades)
    counts = {str(name): parts.count(name) for name in ("train", "validation", "test")}
    if not counts["train"]:
        raise InputError(
            f"no row to train on: {left[_UNSTAGED]:,} requests were no searches through stages, "
            f"{counts['test']:,} are held out by [split]"
        )
    if dropped := parts.count(None):
        counts["dropped"] = dropped
    whole = rows.dataset(features.names, events, grades)
    train, validation = (
        whole.select(np.array([part == name for part in parts], dtype=np.bool_))
        for name in ("train", "validation")
    )
    source: dict[str, Any] = {"requests": dict(left), "events": str(log.root.name)}
    return Prepared(
        schema=schema,
        features=features,
        train=train,
        validation=validation,
        queries=counts,
        # What was dropped is neither trained nor tested on.
        trained=sorted(map(text_digest, untested)),
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
    rows.places.append(
        (request.query_id, request.text, request.time, positions.astype(np.int32), list(ids))
    )
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
