"""The demo marketplace in every engine: the same features bit for bit, and pages as good.

`CASCADE_DEMO_FOLDER` names a folder that `cascade demo --no-serve --folder FOLDER` made, in place
of the small one that the tests share.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cascade.candidates import Query
from cascade.config import Config, judgments_columns, load_config, open_host
from cascade.judgments import read_judgments
from cascade.pipeline import Cascade
from cascade.protocols import Asked
from cascade.relevance.searches import Searches
from cascade.workflows import build_index
from tests.engines.servers import Server

HERE = Path(__file__).resolve().parent
PYTEST_TIMEOUT_S = 600
COMPARED_QUERIES = 25
SHOP_QUERIES = 60
# The bound that the engines are held to, on nDCG@10 of the whole cascade.
MOST_APART = 0.02


@dataclass
class Indexed:
    """The marketplace in one engine."""

    folder: Path
    options: list[str]
    config: Config
    searches: Searches


@pytest.fixture(scope="module")
def marketplace(demo_folder: Path) -> Path:
    """A demo folder, read only."""
    return Path(os.environ.get("CASCADE_DEMO_FOLDER", demo_folder))


@pytest.fixture(scope="module")
def embedded(marketplace: Path) -> Iterator[Indexed]:
    """The index that the demo made."""
    config = next(iter(load_config(marketplace / "cascade.toml").values()))
    found = Indexed(marketplace, [], config, Searches.open(config))
    yield found
    found.searches.close()


@pytest.fixture(scope="module")
def indexed(
    marketplace: Path, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Indexed]:
    """The same listings in a server, built through the same command's function."""
    folder = tmp_path_factory.mktemp(server.kind) / "demo"
    shutil.copytree(marketplace, folder, ignore=shutil.ignore_patterns("indexes"))
    options = [
        f'engine.kind="{server.kind}"',
        f'engine.url="{server.url}"',
        f'engine.index="relevance-{os.getpid()}"',
    ]
    config = next(iter(load_config(folder / "cascade.toml", options).values()))
    report = build_index(config, [folder / "shop" / "products.ndjson"])
    found = Indexed(folder, options, config, Searches.open(config))
    yield found
    found.searches.close()
    host = open_host(config)
    try:
        host.drop(report.generation.place)
    finally:
        host.close()


def asked(indexed: Indexed) -> list[Query]:
    """Return some judged queries."""
    path = indexed.folder / "shop" / "judgments.tsv"
    read = read_judgments(path, judgments_columns(indexed.config))
    texts = list(read.texts.items())[:: max(1, len(read.texts) // COMPARED_QUERIES)]
    return [Query(query_id, text, time=1.8e9) for query_id, text in texts]


def portable(cascade: Cascade, query: Query, ids: Sequence[str]) -> dict[str, bytes]:
    """Return the bytes of each portable feature's column over these documents, by name."""
    only = Asked(only=(tuple(ids),), match_all=True)
    found = cascade.engine.retrieve([query], len(ids), only).candidates
    order = np.argsort(found.ids())
    columns = {}
    for stage in cascade.stages:
        features = stage.ranker.features
        matrix = features.matrix(features.prepared(found.take(order)))
        for feature, column in zip(features.features, matrix.T, strict=True):
            if feature.portable and feature.scope == "row":
                columns[feature.name] = column.tobytes()
    return columns


def test_features_are_equal_bit_for_bit(embedded, indexed):
    ours, theirs = embedded.searches.cascade, indexed.searches.cascade
    for query in asked(embedded):
        ids = ours.engine.retrieve([query], 200).candidates.ids()
        expected = portable(ours, query, ids)
        assert len(expected) > 20
        assert portable(theirs, query, ids) == expected, query.text


def test_retrieval_finds_the_same_documents(embedded, indexed):
    ours, theirs = embedded.searches.cascade.engine, indexed.searches.cascade.engine
    size = len(embedded.searches.cascade.documents)
    for query in asked(embedded):
        depth = min(size, 10_000)
        expected = set(ours.retrieve([query], depth).candidates.ids())
        assert set(theirs.retrieve([query], depth).candidates.ids()) == expected, query.text


def test_pages_are_as_good(embedded, indexed):
    judgments = embedded.folder / "shop" / "judgments.tsv"
    for system in ("bm25", "final"):
        expected = embedded.searches.ndcg(judgments, 10, system)
        found = indexed.searches.ndcg(judgments, 10, system)
        assert abs(found - expected) <= MOST_APART


def some_judgments(folder: Path) -> Path:
    """Write the judgments of the first queries to a file of their own."""
    lines = (folder / "shop" / "judgments.tsv").read_text("utf-8").splitlines()
    head, at = lines[0], lines[0].split("\t").index("query_id")
    chosen = list(dict.fromkeys(line.split("\t")[at] for line in lines[1:]))[:SHOP_QUERIES]
    kept = [line for line in lines[1:] if line.split("\t")[at] in set(chosen)]
    path = folder / "some.tsv"
    path.write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    return path


def test_a_shop_s_own_relevance_tests_hold(indexed):
    command = [sys.executable, "-m", "pytest", str(HERE / "marketplace.py"), "-q", "-rA"]
    command += ["-p", "no:cacheprovider", "--rootdir", str(indexed.folder)]
    command += ["-c", os.devnull, "--cascade-config", str(indexed.folder / "cascade.toml")]
    for option in indexed.options:
        command += ["--cascade-set", option]
    done = subprocess.run(
        command,
        env={**os.environ, "RELEVANCE_QUERIES": str(some_judgments(indexed.folder))},
        cwd=indexed.folder,
        capture_output=True,
        text=True,
        timeout=PYTEST_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^4 passed", done.stdout, re.MULTILINE), done.stdout
