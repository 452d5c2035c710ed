"""Profiling: what a cascade's models cost on recorded requests, before anyone serves them."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime as ort

from cascade.candidates import Candidates, Float32, Query
from cascade.config import Config, judgments_columns, open_cascade, registry_of
from cascade.config.wire import model_references
from cascade.errors import InputError
from cascade.judgments import read_judgments
from cascade.pipeline import Cascade, Recording
from cascade.protocols import Asked
from cascade.registry import Models
from cascade.workflows.clock import clock_of
from cascade.workflows.progress import Progress, silent
from cascade.workflows.requests import read_requests
from cascade.workflows.shadow import fixed, pinned

BATCHES = (10, 100, 300, 1_000)
REQUESTS = 200
WARM = 3
RANKING = "ranking"
_OPERATOR_CALLS = 50


@dataclass(frozen=True)
class Cost:
    """Hold what one part costs for lists of one size, in milliseconds.

    Attributes:
        part: A stage's name, or "ranking" for stages and business layer together.
        rows: Rows of the list that was ranked.
        scored: Mean rows that the part scored.
        p50: The median.
        p95: The 95th percentile.
        p99: The 99th.
    """

    part: str
    rows: int
    scored: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Operator:
    """Hold what one kind of node of a stage's graph takes.

    Attributes:
        stage: The stage.
        operator: The ONNX operator.
        us: Mean microseconds of a request.
        share: Its share of the graph's time.
    """

    stage: str
    operator: str
    us: float
    share: float


@dataclass(frozen=True)
class ProfileReport:
    """Tell what ranking costs.

    Attributes:
        models: The bundle of each stage.
        requests: How many requests were ranked.
        costs: By part and size of the list.
        operators: By stage, the costliest first; at the largest size.
    """

    models: Mapping[str, str]
    requests: int
    costs: tuple[Cost, ...]
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Asking:
    """Say what is profiled on.

    Attributes:
        requests: A file of recorded requests.
        judgments: Judgments whose queries are the requests if there is no file of them.
        batches: The sizes of the lists, in rows.
        most: How many requests are ranked at each size, spread over all that are given.
        repeats: How often each is.
    """

    requests: Path | None = None
    judgments: Path | None = None
    batches: Sequence[int] = BATCHES
    most: int = REQUESTS
    repeats: int = 1


def profile_config(
    config: Config, asking: Asking, models: Models = "candidate", progress: Progress = silent
) -> ProfileReport:
    """Rank recorded requests by the models of a configuration, and time every part.

    Each request is retrieved once, and its first rows are ranked anew at each size, with nothing
    kept from one size to the next. Ranking is timed without retrieval and fetch.

    Args:
        config: The settings.
        asking: The requests and sizes.
        models: Whether candidates are timed where there are some, or what is live.
        progress: Told how far it is.

    Raises:
        InputError: If there are no requests, or a size is not 1 or more.
        NotFoundError: If a stage has no model.
    """
    sizes = sorted(set(asking.batches))
    if not sizes or sizes[0] < 1:
        raise InputError(f"batch sizes are {list(asking.batches)}; accepted are 1 or more rows")
    if asking.most < 1 or asking.repeats < 1:
        given = f"{asking.most} requests, {asking.repeats} times each"
        raise InputError(f"{given} tell nothing; accepted are 1 or more")
    references = model_references(config, models)
    cascade = fixed(open_cascade(pinned(config, references)))
    with closing(cascade.engine):
        queries = _asked(config, cascade, asking)
        timed: dict[tuple[str, int], list[tuple[float, int]]] = {}
        matrices: dict[str, list[Float32]] = {}
        for number, query in enumerate(queries):
            listing = _listing(cascade, query)
            for size in sizes:
                for _ in range(asking.repeats + (WARM if number == 0 else 0)):
                    recording = _timed(cascade, listing, size, timed)
            for record in recording.stages:
                if record.matrix is not None and len(record.matrix):
                    matrices.setdefault(record.name, []).append(record.matrix)
            if number == 0:  # what the first runs of a session take is no request's cost
                timed.clear()
            progress("profile", number + 1, len(queries))
        models_of = cascade.models
    operators = []
    for stage, reference in zip(config.settings.stages, references, strict=True):
        model = registry_of(config).load(reference).model
        operators += _operators(stage.name, model, matrices.get(stage.name, [])[:_OPERATOR_CALLS])
    return ProfileReport(models_of, len(queries), _costs(timed), tuple(operators))


def operator_times(model: bytes, matrices: Sequence[Float32]) -> dict[str, float]:
    """Return the mean microseconds that each operator of a graph takes for one matrix.

    From ONNX Runtime's own profile of a session with one thread, as serving has it.

    Args:
        model: The serialised graph.
        matrices: float32[n, f] each.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        session.run(None, {name: matrices[0]})
        for matrix in matrices:
            session.run(None, {name: np.ascontiguousarray(matrix)})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
    # The first run, which allocates, is left out: as many events as one run has.
    each = len(nodes) // (len(matrices) + 1)
    times: dict[str, float] = {}
    for event in nodes[each:]:
        operator = str(event["args"]["op_name"])
        times[operator] = times.get(operator, 0.0) + float(event["dur"]) / len(matrices)
    return times


def _asked(config: Config, cascade: Cascade, asking: Asking) -> list[Query]:
    at = clock_of(config, cascade.documents)
    if asking.requests is not None:
        queries = read_requests(asking.requests, cascade.documents.schema, at)
    elif asking.judgments is not None:
        read = read_judgments(asking.judgments, judgments_columns(config))
        queries = [Query(q, text, time=at) for q, text in read.texts.items()]
    else:
        raise InputError("there are no requests; give --queries FILE or --judgments FILE")
    spread = np.linspace(0, len(queries) - 1, min(asking.most, len(queries)))
    return [queries[i] for i in np.unique(spread.astype(np.int64))]


def _listing(cascade: Cascade, query: Query) -> Candidates:
    asked = Asked(minimum_match=cascade.minimum_match)
    return cascade.engine.retrieve([cascade.filtered(query)], cascade.size, asked).candidates


def _timed(
    cascade: Cascade,
    listing: Candidates,
    size: int,
    timed: dict[tuple[str, int], list[tuple[float, int]]],
) -> Recording:
    # Without what was derived: a request has to compute its features.
    head, recording = listing.bare().head(size), Recording()
    start = time.perf_counter()
    _, _, traces = replace(cascade, size=size).reorder(head, recording=recording)
    took = (time.perf_counter() - start) * 1e3
    for trace in traces:
        timed.setdefault((trace.name, size), []).append((trace.ms, trace.rows))
    timed.setdefault((RANKING, size), []).append((took, len(head)))
    return recording


def _costs(timed: Mapping[tuple[str, int], Sequence[tuple[float, int]]]) -> tuple[Cost, ...]:
    costs = []
    for (part, size), measured in timed.items():
        ms, rows = np.array(measured).T
        p50, p95, p99 = (float(found) for found in np.quantile(ms, [0.5, 0.95, 0.99]))
        costs.append(Cost(part, size, float(rows.mean()), p50, p95, p99))
    return tuple(costs)


def _operators(stage: str, model: bytes, matrices: Sequence[Float32]) -> list[Operator]:
    if not matrices:
        return []
    times = operator_times(model, matrices)
    total = sum(times.values())
    return [
        Operator(stage, operator, us, us / total if total else 0.0)
        for operator, us in sorted(times.items(), key=lambda pair: -pair[1])
    ]
