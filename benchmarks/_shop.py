"""A demo marketplace of any size, made and indexed once and kept in var/bench/."""

from __future__ import annotations

import os
import platform
import random
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from cascade.catalogue import Catalogue
from cascade.config import Config, load_config, open_engine, schema_of, store_of
from cascade.errors import CascadeError
from cascade.protocols import Engine
from cascade.shop import ShopSpec, write_shop
from cascade.workflows.demo import write_config
from cascade.workflows.index import build_index

FOLDER = Path(__file__).resolve().parent.parent / "var" / "bench"
QUERIES = 400


def shop(listings: int) -> Config:
    """Return the configuration of a shop of this size, whose files are there but no index."""
    folder = FOLDER / f"shop-{listings}"
    done = folder / "cascade.toml"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        spec = ShopSpec(listings=listings, queries=QUERIES, sessions=0)
        write_shop(spec, folder / "shop")
        return write_config(folder)
    return next(iter(load_config(done).values()))


def products(config: Config) -> Path:
    """Return the shop's product file."""
    return config.path.parent / "shop" / "products.ndjson"


def judgments(config: Config) -> Path:
    """Return the shop's judgments."""
    return config.path.parent / "shop" / "judgments.tsv"


def indexed(listings: int) -> Config:
    """Return the configuration of a shop of this size with an index that this code can read."""
    config = shop(listings)
    try:
        engine, _ = opened(config)
    except CascadeError:
        build_index(config, [products(config)])
    else:
        engine.close()
    return config


def opened(config: Config) -> tuple[Engine, Catalogue]:
    """Return the engine and the catalogue of the shop's live generation."""
    return open_engine(config, schema_of(config))


def generation_bytes(config: Config) -> int:
    """Return the size on disk of the live index and catalogue."""
    path = store_of(config).live().path
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def query_texts(config: Config, count: int) -> list[str]:
    """Return distinct query texts of the shop in an order that is the same each time."""
    path = config.path.parent / "shop" / "queries.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    at = lines[0].split("\t").index("query")
    texts = [line.split("\t")[at] for line in lines[1:]]
    random.Random(7).shuffle(texts)
    return texts[:count]


def memory_kb(pid: int | str, file: str, *keys: str) -> int:
    """Return the sum of these lines of a file under /proc/PID, in kB."""
    total = 0
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in keys:
            total += int(rest.split()[0])
    return total


def shown(seconds: Sequence[float]) -> str:
    """Return median and 95th percentile in milliseconds."""
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return f"median {statistics.median(ordered) * 1e3:8.2f} ms   p95 {p95 * 1e3:8.2f} ms"


def machine() -> str:
    """Return a line that names the machine."""
    model = platform.processor() or platform.machine()
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} x {model}, Python {platform.python_version()}, load {load:.1f}"


def _lines(path: Path) -> Iterator[str]:
    if path.is_file():
        yield from path.read_text().splitlines()
