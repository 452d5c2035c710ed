"""Reading product files in Parquet, in batches."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cascade.errors import DocumentError, OptionalDependencyError
from cascade.indexing.meter import Meter

BATCH_ROWS = 1_024


def need_parquet() -> None:
    """Check that Parquet files can be read.

    Raises:
        OptionalDependencyError: If pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise OptionalDependencyError("pyarrow", "parquet")


def read_parquet(path: Path, meter: Meter) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the place ("file, row 7") and content of each row.

    A null and a number that is NaN are no value, moments are ISO 8601, decimals are numbers and
    bytes are text, or base 64 where they are no UTF-8.

    Raises:
        DocumentError: If the file cannot be read.
        OptionalDependencyError: If pyarrow is not installed.
    """
    need_parquet()
    import pyarrow as pa
    import pyarrow.parquet as pq

    size, number = path.stat().st_size, 0
    try:
        with pq.ParquetFile(path) as file:
            rows = max(file.metadata.num_rows, 1)
            meter.begin(lambda: size * number // rows)
            for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                names = batch.schema.names
                for row in zip(*(_column(c) for c in batch.columns), strict=True):
                    number += 1
                    known = {n: v for n, v in zip(names, row, strict=True) if v is not None}
                    yield f"{path.name}, row {number}", known
    except (pa.ArrowException, OSError) as error:
        raise DocumentError(f"{path} cannot be read after row {number}: {error}") from None


def _column(values: Any) -> list[Any]:  # noqa: ANN401  (pyarrow has no types)
    """Return the values of a column as JSON could hold them."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":  # what a datetime cannot hold
        values = values.cast(pa.timestamp("us", kind.tz), safe=False)
    found: list[Any] = values.to_pylist()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind):
        return found
    return list(map(_plain, found))


def _plain(value: object) -> Any:  # noqa: ANN401  (whatever JSON can hold)
    if isinstance(value, float):
        return value if value == value else None  # noqa: PLR0124  (NaN alone is not itself)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return _plain_scalar(value)


def _plain_scalar(value: object) -> Any:  # noqa: ANN401  (whatever JSON can hold)
    if isinstance(value, Decimal):
        whole = value.is_finite() and value == value.to_integral_value()
        return int(value) if whole else _plain(float(value))
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return str(value)
