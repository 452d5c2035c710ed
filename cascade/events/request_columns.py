"""The columns of the request log, and the way from requests to them and back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from cascade.errors import InputError
from cascade.events.requests import (
    LoggedBusiness,
    LoggedRequest,
    LoggedStage,
    need_pyarrow,
    shown_propensities,
)

BATCH = 32
# What repeats from request to request is told once a file; bits of floats compress better apart.
_REPEATED = (
    "route",
    "surface",
    "cascade",
    "generation",
    "stages.list.element.name",
    "stages.list.element.model",
    "stages.list.element.outcome",
    "stages.list.element.names.list.element",
    "business.policy",
    "business.outcome",
    "business.model",
    "columns.list.element.name",
)
_FLOATS = (
    "stages.list.element.matrix.list.element",
    "stages.list.element.scores.list.element",
)
_PLAIN = (
    "query_id",
    "route",
    "text",
    "surface",
    "time",
    "session",
    "visitor",
    "consent",
    "cascade",
    "generation",
    "admitted",
    "sort",
    "collapse",
    "offset",
    "size",
    "arm",
)
_SHOWN = (
    "query_id",
    "route",
    "text",
    "time",
    "session",
    "visitor",
    "consent",
    "surface",
    "offset",
    "results",
)
_RANKED = ("candidates", "order", "propensities")
_LISTED = ("seen", "candidates", "results", "swapped", "teams")
_COMPRESSION = {"compression": "zstd", "compression_level": 1}


def schema() -> Any:  # noqa: ANN401  (pyarrow has no types)
    """Return the Arrow schema of a file."""
    import pyarrow as pa

    text, floats, whole = pa.string(), pa.list_(pa.float32()), pa.list_(pa.int32())
    stage = {
        "name": text,
        "model": text,
        "window": pa.int32(),
        "outcome": text,
        "reason": text,
        "ms": pa.float64(),
        "names": pa.list_(text),
        "matrix": floats,
        "scores": floats,
    }
    move = {"rule": text, "doc_id": text, "before": pa.int32(), "after": pa.int32()}
    business = {
        "policy": text,
        "outcome": text,
        "reason": text,
        "preference": text,
        "utilities": floats,
        "max_displacement": pa.int32(),
        "arranged": whole,
        "moves": pa.list_(pa.struct(list(move.items()))),
        "model": text,
    }
    columns = {
        "query_id": text,
        "route": text,
        "text": text,
        "filters": text,
        "preference": text,
        "surface": text,
        "time": pa.float64(),
        "session": text,
        "visitor": text,
        "consent": pa.bool_(),
        "seen": pa.list_(text),
        "cascade": text,
        "generation": text,
        "candidates": pa.list_(text),
        "admitted": pa.int32(),
        "engine_scores": floats,
        "columns": pa.list_(pa.struct([("name", text), ("values", floats)])),
        "stages": pa.list_(pa.struct(list(stage.items()))),
        "business": pa.struct(list(business.items())),
        "order": whole,
        "scores": floats,
        "sort": text,
        "collapse": text,
        "offset": pa.int32(),
        "size": pa.int32(),
        "results": pa.list_(text),
        "swapped": whole,
        "propensities": pa.list_(pa.float64()),
        "arm": text,
        "teams": pa.list_(pa.int8()),
    }
    return pa.schema(list(columns.items()))


def writer_options() -> dict[str, Any]:
    """Return how `ParquetWriter` packs the columns."""
    return {
        **_COMPRESSION,
        "use_dictionary": list(_REPEATED),
        "use_byte_stream_split": list(_FLOATS),
    }


def table_of(requests: Sequence[LoggedRequest]) -> Any:  # noqa: ANN401  (pyarrow has no types)
    """Return requests as an Arrow table."""
    import pyarrow as pa

    return pa.Table.from_pylist([_row(request) for request in requests], schema=schema())


def ids_in(path: Path) -> list[str]:
    """Return the query ids of a file, row by row.

    Raises:
        InputError: If it is no request log.
    """
    with _opened(path) as file:
        found: list[str] = file.read(columns=["query_id"], use_threads=False)[0].to_pylist()
    return found


def shown_in(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what each request of a file showed, without what rankers saw.

    Raises:
        InputError: If it is no request log.
    """
    with _opened(path) as file:
        for batch in file.iter_batches(1_024, columns=[*_SHOWN, *_RANKED], use_threads=False):
            for row in batch.to_pylist():
                content = {name: row[name] for name in _SHOWN}
                chances = shown_propensities(
                    row["candidates"], row["order"], row["propensities"], row["results"]
                )
                yield content | {"propensities": chances}


def requests_in(
    path: Path, query_id: str | None = None, rows: Collection[int] | None = None
) -> Iterator[LoggedRequest]:
    """Yield the requests of a file, a few in memory at a time.

    Args:
        path: The file.
        query_id: Those of this query alone.
        rows: Those at these places alone.

    Raises:
        InputError: If it is no request log.
    """
    first = 0
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["query_id"], use_threads=False)[0].to_pylist()
            wanted = [
                (query_id is None or each == query_id) and (rows is None or at in rows)
                for at, each in enumerate(ids, first)
            ]
            first += len(ids)
            if any(wanted):
                batches = file.iter_batches(BATCH, row_groups=[group], use_threads=False)
                yield from _wanted(batches, wanted)


def _wanted(batches: Iterable[Any], wanted: Sequence[bool]) -> Iterator[LoggedRequest]:
    first = 0
    for batch in batches:
        for at in range(len(batch)):
            if wanted[first + at]:
                yield _request(batch, at)
        first += len(batch)


def _opened(path: Path) -> Any:  # noqa: ANN401  (pyarrow has no types)
    need_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}; move it out of the log") from None
    missing = [name for name in schema().names if name not in file.schema_arrow.names]
    if missing:
        file.close()
        raise InputError(
            f"{path} is no request log: it has no column {', '.join(missing)}; move it elsewhere"
        )
    return file


def _row(request: LoggedRequest) -> dict[str, Any]:
    told = dict(vars(request))
    told["filters"] = orjson.dumps(request.filters).decode()
    told["preference"] = orjson.dumps(request.preference).decode()
    told["columns"] = [{"name": n, "values": v} for n, v in request.columns.items()]
    told["stages"] = [{**vars(s), "matrix": s.matrix.reshape(-1)} for s in request.stages]
    business = request.business
    if business is not None:
        keys = ("rule", "doc_id", "before", "after")
        told["business"] = {
            **vars(business),
            "preference": orjson.dumps(business.preference).decode(),
            "moves": [dict(zip(keys, move, strict=True)) for move in business.moves],
        }
    return told


def _request(batch: Any, at: int) -> LoggedRequest:  # noqa: ANN401  (pyarrow has no types)
    cell = {name: batch[name][at] for name in batch.schema.names}
    plain: dict[str, Any] = {name: cell[name].as_py() for name in _PLAIN}
    listed: dict[str, Any] = {name: tuple(cell[name].as_py()) for name in _LISTED}
    business = cell["business"]
    return LoggedRequest(
        **plain,
        **listed,
        filters=orjson.loads(cell["filters"].as_py()),
        preference=orjson.loads(cell["preference"].as_py()),
        engine_scores=_array(cell["engine_scores"]),
        columns={each["name"].as_py(): _array(each["values"]) for each in cell["columns"]},
        stages=tuple(_stage(each) for each in cell["stages"]),
        business=_business(business) if business.is_valid else None,
        order=_array(cell["order"]),
        scores=_array(cell["scores"]),
        propensities=_array(cell["propensities"]),
    )


def _stage(cell: Mapping[str, Any]) -> LoggedStage:
    names = tuple(cell["names"].as_py())
    scores = _array(cell["scores"])
    matrix = _array(cell["matrix"])
    width = len(names) if len(matrix) else 0
    return LoggedStage(
        name=cell["name"].as_py(),
        model=cell["model"].as_py(),
        window=cell["window"].as_py(),
        outcome=cell["outcome"].as_py(),
        reason=cell["reason"].as_py(),
        ms=cell["ms"].as_py(),
        names=names,
        matrix=matrix.reshape(-1, width) if width else np.zeros((0, len(names)), np.float32),
        scores=scores,
    )


def _business(cell: Mapping[str, Any]) -> LoggedBusiness:
    return LoggedBusiness(
        policy=cell["policy"].as_py(),
        outcome=cell["outcome"].as_py(),
        reason=cell["reason"].as_py(),
        preference=orjson.loads(cell["preference"].as_py()),
        utilities=_array(cell["utilities"]),
        max_displacement=cell["max_displacement"].as_py(),
        arranged=_array(cell["arranged"]),
        moves=tuple(
            (m["rule"], m["doc_id"], m["before"], m["after"]) for m in cell["moves"].as_py()
        ),
        # Files of earlier releases do not say which version of a policy it was.
        model=cell["model"].as_py() if "model" in cell else None,
    )


def _array(cell: Any) -> Any:  # noqa: ANN401  (pyarrow has no types)
    """Return a list of numbers as an array of their own kind."""
    return cell.values.to_numpy(zero_copy_only=False)
