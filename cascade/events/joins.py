"""Point-in-time joins: what was shown, what came of it, and the counts known at that moment.

A row's moment is the time of its search, when the order was made: its counts are of what happened
strictly before, so a training set knows no more than the server knew.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cascade.errors import InputError, OptionalDependencyError
from cascade.events.coding import coded
from cascade.events.counting import check_counters
from cascade.events.point_in_time import OUTCOMES, Joining, PointInTime
from cascade.events.scratch import Scratch
from cascade.events.tables import JOIN_PREFIX, EventLog

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OUTCOMES", "Joining", "Written", "joined", "write_joined"]


@dataclass(frozen=True, slots=True)
class Written:
    """Say what a joined file holds.

    Attributes:
        rows: Documents shown by searches, each a row.
        searches: The searches that they belong to.
        unknown: Impressions that were left out: their search has no text or time, or is not there.
        outcomes: Rows with at least one of each outcome, by action.
    """

    rows: int
    searches: int
    unknown: int
    outcomes: Mapping[str, int]


def joined(log: EventLog, joining: Joining) -> Iterator[pa.RecordBatch]:
    """Yield what was shown with its outcomes and counts, a listing after the other, by time.

    Columns: `query_id`, `text`, `doc_id`, `rank`, `time` (of the search), `session`, `surface`,
    the number of events of each of `OUTCOMES` that the search brought the document, `value` (of
    its purchases), `counter.name` for each counter, 0 where nothing was counted, and
    `counter.total_name`, the sum over everything as of the last full minute. A listing's rows are
    together, best rank first; a document that one search showed twice is one row.

    Raises:
        InputError: If a counter cannot be counted, or a portion is not positive.
        NotFoundError: If there is no log.
        OptionalDependencyError: If DuckDB or pyarrow is not installed.
    """
    with _opened(log, joining) as work:
        yield from work.batches()


def write_joined(log: EventLog, joining: Joining, path: Path) -> Written:
    """Write the rows of `joined` to a Parquet file, whole or not at all.

    Raises:
        InputError: If a counter cannot be counted, or a portion is not positive.
        NotFoundError: If there is no log.
        OptionalDependencyError: If DuckDB or pyarrow is not installed.
    """
    with _opened(log, joining) as work:
        import pyarrow.parquet as pq

        part = path.with_name(f".{path.name}.part")
        outcomes, rows, searches = dict.fromkeys(OUTCOMES, 0), 0, 0
        try:
            with pq.ParquetWriter(part, work.schema, compression="zstd") as writer:
                for batch in work.batches():
                    writer.write_batch(batch)
                    rows += len(batch)
                    searches += len(batch.column("query_id").unique())
                    for action in OUTCOMES:
                        outcomes[action] += int(np.count_nonzero(batch.column(action)))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return Written(rows, searches, work.unknown, outcomes)


@contextmanager
def _opened(log: EventLog, joining: Joining) -> Iterator[PointInTime]:
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError:
        raise OptionalDependencyError("pyarrow", "logs") from None
    if joining.part_rows < 1 or joining.block_rows < 1:
        raise InputError(
            f"part_rows {joining.part_rows}, block_rows {joining.block_rows}: accepted are 1 or "
            "more"
        )
    check_counters(joining.counters, joining.groups)
    with closing(log.database()) as database:
        folder = Path(tempfile.mkdtemp(prefix=JOIN_PREFIX, dir=log.root))
        try:
            read = coded(database, joining.groups)
            threads = log.threads or os.cpu_count() or 1
            yield PointInTime(read, joining, Scratch(folder), threads)
        finally:
            shutil.rmtree(folder)
