"""Joining 5,000,000 events point in time, with 16 counters, against window functions in SQL.

Each size is joined in a process of its own: seconds of the wall and of the processor, and the most
memory that it took. The peer is one DuckDB query over the smallest log with the same counters
without decay, a window frame for each; SQL has no frame that decays.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from _shop import FOLDER, machine

from cascade.behaviour import Counter
from cascade.events.joins import Joining, write_joined
from cascade.events.tables import EventLog, connect

SIZES = (1_000_000, 2_000_000, 5_000_000)
PAGE = 10
DAYS = 90
COUNTERS = tuple(
    Counter(by, action, window, half_life)  # type: ignore[arg-type]
    for by, windows in {
        "document": ((7.0, math.inf), (30.0, 7.0)),
        "query": ((30.0, 7.0),),
        "pair": ((30.0, 7.0),),
    }.items()
    for action in ("impression", "click", "cart", "purchase")
    for window, half_life in windows
)


def made(events: int) -> Path:
    """Write a log of this many events, made once: pages of ten, and one act on each other page."""
    folder = FOLDER / f"events-{events}"
    if (folder / "done").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "searches").mkdir(parents=True)
    (folder / "events").mkdir()
    searches = math.ceil(events / (PAGE + 0.5))
    database = connect(memory_mb=512, spill=folder)
    # Few texts and documents get most of the attention, as in every shop.
    drawn = (
        f"select i, 1.7e9 + i * {DAYS * 86_400 / searches} as time, hash(i) as h, "
        f"floor(20000 * pow((hash(i, 1) % 1000000) / 1e6, 3))::integer as text "
        f"from range({searches}) t(i)"
    )
    database.execute(
        "copy (select 'query-' || h as query_id, 'words of query ' || text as text, time, "
        "'session-' || (i // 3) as session, 'visitor-' || (i // 9) as visitor, 'web' as surface, "
        f"[('listing-' || ((text * 31 + floor(200 * pow((hash(i, j) % 1000000) / 1e6, 2))) "
        f"% 100000)::integer) for j in range({PAGE})] as results, null::double[] as propensities "
        f"from ({drawn})) to '{folder}/searches/1.parquet' (format parquet)"
    )
    database.execute(
        "copy (select query_id, case when hash(query_id) % 10 < 7 then 'click' when "
        "hash(query_id) % 10 < 9 then 'cart' else 'purchase' end as action, "
        "results[rank] as doc_id, rank, time + 20 as time, session, visitor, surface, "
        "null::double as value from (select *, (1 + hash(query_id, 2) % 10)::integer as rank "
        f"from '{folder}/searches/1.parquet') where hash(query_id, 3) % 2 = 0) "
        f"to '{folder}/events/1.parquet' (format parquet)"
    )
    database.close()
    (folder / "done").touch()
    return folder


def join(events: int) -> None:
    """Join a log, and print what it took."""
    folder = FOLDER / f"events-{events}"
    log = EventLog(folder, threads=2, memory_mb=256)
    start = time.perf_counter()
    written = write_joined(log, Joining(COUNTERS), folder / "joined.parquet")
    wall, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    size = (folder / "joined.parquet").stat().st_size / 2**20
    print(
        json.dumps([wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, written.rows, size])
    )


def peer(events: int) -> None:
    """Count by window frames, and print what it took."""
    folder = FOLDER / f"events-{events}"
    keys = {"document": "doc_id", "query": "text", "pair": "text, doc_id"}
    frames = ", ".join(
        f"sum((action = '{c.action}')::integer) over (partition by {keys[c.by]} order by time "
        f"range between {c.window_days * 86_400} preceding and 1e-6 preceding) as c{at}"
        for at, c in enumerate(COUNTERS)
    )
    start = time.perf_counter()
    database = EventLog(folder, threads=2, memory_mb=8_192).database()
    database.execute(
        "copy (select * from (select *, " + frames + " from (select 'impression' as action, "
        "query_id, doc_id, time from impressions union all select action, query_id, doc_id, time "
        "from events where action <> 'impression') join (select query_id, text from searches) "
        f"using (query_id)) where action = 'impression') to '{folder}/peer.parquet' "
        "(format parquet, compression zstd)"
    )
    wall, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    size = (folder / "peer.parquet").stat().st_size / 2**20
    print(json.dumps([wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, 0, size]))


def apart(what: str, events: int) -> list[float]:
    """Run one of the two in a process of its own."""
    command = [sys.executable, __file__, "--only", what, "--sizes", str(events)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    if done.returncode:
        raise SystemExit(done.stderr)
    return [float(number) for number in json.loads(done.stdout)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--only", choices=("join", "peer"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        {"join": join, "peer": peer}[asked.only](asked.sizes[0])
        return
    print(f"{len(COUNTERS)} counters and their sums, point in time; {machine()}")
    taken = {}
    for events in sorted(asked.sizes):
        made(events)
        taken[events] = apart("join", events)
        wall, cpu, memory, rows, size = taken[events]
        print(
            f"  {events:>10,} events  {wall:6.1f} s  {cpu:6.1f} s of processor  "
            f"{memory:6.0f} MB  {rows:>10,.0f} rows  {size:5.0f} MB file"
        )
    least, most = min(taken), max(taken)
    wall, cpu, memory, _, _ = apart("peer", least)
    print(f"  {least:>10,} in SQL  {wall:6.1f} s  {cpu:6.1f} s of processor  {memory:6.0f} MB")
    growth = taken[most][2] / taken[least][2]
    ratio = np.divide(taken[least][0], wall)
    print(
        f"ratio: {ratio:.2f} x the time of window functions; {growth:.2f} x the memory for "
        f"{most / least:.0f} x the events (target: 60 s for 5,000,000)"
    )


if __name__ == "__main__":
    main()
