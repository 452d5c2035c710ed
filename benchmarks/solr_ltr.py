"""Reranking 200 candidates by boosted trees: this system in front of Solr, and Solr's own module.

Both retrieve the same 200 candidates from one Solr 8.11.4 and rerank them by the same number of
trees on the same number of features. Solr computes its features by its fields, functions and
queries (`rq={!ltr ...}`); we read ours from the catalogue. Solr's side is asked over a plain socket
and read by a typed decoder, the least that a client can cost. The sides take turns, query by query.

A second model reads only what both know exactly, number fields and the score of retrieval: its
scores must be equal bit for bit, and so the order.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from _recorder import Recorder, Replayer
from _shop import judgments, machine, opened, products, query_texts, shop, shown
from _solr_model import MISSING, PACKAGE, additive_trees, missing_left, same_values, stand_ins
from rank_1000 import features_40

from cascade.candidates import Documents, Float32, Int32, Query
from cascade.config import Config, judgments_columns, load_config, schema_of, store_of
from cascade.config.engines import connection_of, matching_of, shape_of
from cascade.engines._solr.fields import give_fields
from cascade.engines._solr.index import Marker
from cascade.engines.connection import IndexShape
from cascade.engines.mappings import render_solr
from cascade.engines.solr import SolrHost
from cascade.features import Features, build_features
from cascade.hosting import Place
from cascade.indexing import Files, build
from cascade.judgments import read_judgments
from cascade.pipeline import Cascade, Outcome, Stage
from cascade.pipeline.trace import Ranked
from cascade.protocols import Engine
from cascade.rankers import OnnxRanker
from cascade.schema import Kind, Schema
from cascade.training.dataset import Dataset, Sampling, retrieved_dataset
from cascade.training.trees_onnx import trees_to_onnx

ROOT = Path(__file__).resolve().parent.parent
SIZE = 200
DEPTH = 6
ROUNDS = 3
ALONE, THEIRS, OURS = "retrieval alone", "Solr's module", "this system"
NOW = 1_748_736_000.0
CONFIGSET = "cascade-ltr"
VERSION = "8.11.4"
# The tests' servers start fast and never compile fully; a peer may.
FAST_START = "-XX:TieredStopAtLevel=1"
PARSER = f'<queryParser name="ltr" class="{PACKAGE}.search.LTRQParserPlugin"/>\n</config>'


class Solr8(SolrHost):
    """Make indexes on version 8, which takes a tokenizer by its class and not by its name."""

    def create(self, place: Place, schema: Schema, about: Mapping[str, str]) -> None:
        """Make an empty core with the schema's fields and the marker that it is ours."""
        fields = render_solr(schema, IndexShape(), about)
        named, classed = '"name": "whitespace"', '"class": "solr.WhitespaceTokenizerFactory"'
        types = json.loads(json.dumps(fields.field_types).replace(named, classed))
        self._holders.make(place.name)
        index = self._index(place.name)
        give_fields(self._client, index.path, replace(fields, field_types=types))
        index.mark(Marker(place.name, secrets.token_hex(8), about))


@contextmanager
def server(url: str | None, home: Path | None) -> Iterator[str]:
    """Yield the address of a Solr with the module and the configset; ours ends with the block."""
    if url is not None and home is not None:
        write_configset(home)
        yield url
        return
    sys.path.insert(0, str(ROOT))
    from tests.engines.processes import kill, revive, start, stop

    process = start("solr", VERSION)
    try:
        assert process.launch is not None
        kill(process)
        write_configset(process.folder / "home")
        command = [part for part in process.launch.command if part != FAST_START]
        process = revive(replace(process, launch=replace(process.launch, command=command)))
        yield process.url
    finally:
        stop(process)


def write_configset(home: Path) -> None:
    """Write the tests' configset with the module's parser, and no cache of whole answers."""
    folder = home / "configsets" / CONFIGSET
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "tests" / "engines" / "solr" / "_default", folder)
    config = folder / "conf" / "solrconfig.xml"
    cached = r"(?<=<queryResultMaxDocsCached>)\d+"
    config.write_text(re.sub(cached, "0", config.read_text()).replace("</config>", PARSER))
    owner = home.stat()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


def on_solr(listings: int, url: str) -> Config:
    """Return the shop's configuration on this server."""
    overrides = [
        'engine.kind="solr"',
        f'engine.url="{url}"',
        'engine.index="bench-ltr"',
        f'engine.config_set="{CONFIGSET}"',
        'index.store="indexes-solr-ltr"',
        f"retrieval.size={SIZE}",
    ]
    return next(iter(load_config(shop(listings).path, overrides).values()))


def boosted(dataset: Dataset, trees: int) -> bytes:
    """Return LambdaMART trees of full depth as JSON, in which missing values go left."""
    import xgboost

    known = np.nan_to_num(dataset.matrix, nan=MISSING)
    matrix = xgboost.DMatrix(known, label=dataset.grades)
    matrix.set_group(np.diff(dataset.offsets))
    settings = {
        "objective": "rank:ndcg",
        "max_depth": DEPTH,
        "eta": 0.05,
        "tree_method": "hist",
        "min_child_weight": 0.1,
    }
    return missing_left(bytes(xgboost.train(settings, matrix, trees).save_raw("json")))


class _Doc(msgspec.Struct):
    cascade_row: int
    score: float


class _Docs(msgspec.Struct):
    docs: list[_Doc]


class _Answer(msgspec.Struct):
    response: _Docs


_ANSWER = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True)
class Peer:
    """Ask Solr to retrieve and rerank.

    Attributes:
        url: The server.
        requests: What our retrieval asks for each query.
    """

    url: str
    requests: dict[str, bytes]

    def upload(self, features: Sequence[dict[str, Any]], raw: bytes) -> str:
        """Give the server features and a model on them, and return the model's name."""
        name = f"bench-{secrets.token_hex(4)}"
        path = next(iter(self.requests.values())).split(b" ")[1].decode().split("/select")[0]
        core = self.url.removesuffix("/solr") + path
        put(f"{core}/schema/feature-store", [{"store": name, **one} for one in features])
        names = [one["name"] for one in features]
        model = {
            "class": f"{PACKAGE}.model.MultipleAdditiveTreesModel",
            "name": name,
            "store": name,
            "features": [{"name": feature} for feature in names],
            "params": additive_trees(raw, names),
        }
        put(f"{core}/schema/model-store", model)
        return name

    def reranking(self, text: str, model: str) -> bytes:
        """Return the request that retrieves as ours does, and reranks."""
        head, _, body = self.requests[text].partition(b"\r\n\r\n")
        search = json.loads(body)
        words = [word for name, word in search["params"].items() if re.fullmatch(r"c\d+", name)]
        told = {"words": " ".join(words), "first": words[0], "last": words[-1]}
        told["length"] = str(len(words))
        given = " ".join(f"efi.{name}=${name}" for name in told)
        ask = f"{{!ltr model={model} reRankDocs={SIZE} {given}}}"
        search["params"] |= {"rq": ask, **told}
        body = json.dumps(search).encode()
        length = b"Content-Length: %d" % len(body)
        return re.sub(rb"(?i)content-length: \d+", length, head) + b"\r\n\r\n" + body


def answered(replayer: Replayer, request: bytes) -> tuple[Int32, Float32]:
    """Return the rows and scores of an answer, best first."""
    docs = _ANSWER.decode(replayer.send(request)).response.docs
    rows = np.array([doc.cascade_row for doc in docs], dtype=np.int32)
    return rows, np.array([doc.score for doc in docs], dtype=np.float32)


def put(url: str, value: object) -> None:
    """Send JSON to one of the module's stores."""
    body, headers = json.dumps(value).encode(), {"content-type": "application/json"}
    asked = urllib.request.Request(url, body, headers, method="PUT")
    with urllib.request.urlopen(asked, timeout=60) as answer:
        answer.read()


def recorded(config: Config, url: str, texts: Sequence[str]) -> dict[str, bytes]:
    """Return the one request that our retrieval sends for each query that finds enough."""
    recorder, found = Recorder(url), {}
    served = config.settings.engine.model_copy(update={"url": recorder.url})
    settings = config.settings.model_copy(update={"engine": served})
    engine, _ = opened(replace(config, settings=settings))
    for text in texts:
        recorder.forget()
        if len(engine.retrieve([asked(text, text)], SIZE).candidates) == SIZE:
            [found[text]] = recorder.requests()
    engine.close()
    recorder.close()
    return found


def exact_features(schema: Schema) -> tuple[Features, list[str]]:
    """Return number fields and the score of retrieval, and the fields' names."""
    names = [spec.name for spec in schema.of_kind(Kind.NUMBER)]
    definitions = [{"kind": "number", "name": name, "field": name} for name in names]
    definitions.append({"kind": "engine_score", "name": "engine_score"})
    return build_features(definitions, schema), names


def cascade_of(engine: Engine, features: Features, raw: bytes, documents: Documents) -> Cascade:
    """Return a cascade whose only stage is these trees, on all candidates."""
    ranker = OnnxRanker(trees_to_onnx(raw, best_iteration=None), features)
    return Cascade(engine, documents, (Stage("trees", ranker, SIZE),), size=SIZE)


def same_candidates(theirs: Int32, ours: Ranked, text: str) -> None:
    """End the run if both did not rerank the same documents."""
    if ours.trace.stages[0].outcome is not Outcome.RAN:
        raise SystemExit(f"the trees did not run for {text!r}: {ours.trace.stages[0]}")
    rows = ours.candidates.rows
    if len(rows) != SIZE or set(theirs.tolist()) != set(rows.tolist()):
        raise SystemExit(f"the candidates of {text!r} differ")


def same_order(peer: Peer, replayer: Replayer, model: str, cascade: Cascade) -> int:
    """Return how many rows are equal in score and order; end the run if any is not.

    Among equal scores the order is free: Solr goes by its own numbers, we by that of retrieval.
    """
    for text in peer.requests:
        rows, scores = answered(replayer, peer.reranking(text, model))
        ranked = cascade.ranked(asked(text, text))
        same_candidates(rows, ranked, text)
        ours = ranked.candidates
        if not np.array_equal(scores, ours.scores):
            raise SystemExit(f"the scores of {text!r} differ: {scores[:5]} and {ours.scores[:5]}")
        if not np.array_equal(untied(rows, scores), untied(ours.rows, ours.scores)):
            raise SystemExit(f"the order of {text!r} differs")
    return len(peer.requests) * SIZE


def untied(rows: Int32, scores: Float32) -> Int32:
    """Return the rows by (score descending, row ascending)."""
    return rows[np.lexsort((rows, -scores))]


def measured(
    peer: Peer, replayer: Replayer, model: str, cascade: Cascade
) -> dict[str, list[float]]:
    """Return the seconds of each query, the best of its rounds; the first rounds only warm up."""
    rounds: list[dict[str, list[float]]] = []
    for turn in range(2 * ROUNDS):
        taken: dict[str, list[float]] = {}
        for number, text in enumerate(peer.requests):
            query, plain, both = asked(text, text), peer.requests[text], peer.reranking(text, model)
            ours, theirs = [], []
            sides: list[tuple[str, Callable[[], None]]] = [
                (ALONE, lambda: theirs.append(answered(replayer, plain)[0])),  # noqa: B023
                (THEIRS, lambda: theirs.append(answered(replayer, both)[0])),  # noqa: B023
                (OURS, lambda: ours.append(cascade.ranked(query))),  # noqa: B023
            ]
            at = (number + turn) % len(sides)
            for name, work in sides[at:] + sides[:at]:
                start = time.perf_counter()
                work()
                taken.setdefault(name, []).append(time.perf_counter() - start)
            for rows in theirs:
                same_candidates(rows, ours[0], text)
        rounds.append(taken)
    counted = rounds[ROUNDS:]
    return {
        name: [min(each) for each in zip(*(r[name] for r in counted), strict=True)]
        for name in counted[0]
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--url", help="a standalone Solr with the module; else one is started")
    parser.add_argument("--home", type=Path, help="the home of that Solr, to put a configset into")
    given = parser.parse_args()
    if (given.url is None) != (given.home is None):
        parser.error("give --url and --home, or neither")
    with server(given.url, given.home) as url:
        config = on_solr(given.listings, url)
        host = Solr8(connection_of(config), matching_of(config), shape_of(config))
        source = Files((products(config),))
        place = build(store_of(config), schema_of(config), source, host).generation.place
        try:
            compare(config, url, given.queries, given.trees)
        finally:
            host.drop(place)
            host.close()
            shutil.rmtree(config.path.parent / "indexes-solr-ltr")


def compare(config: Config, url: str, queries: int, trees: int) -> None:
    """Train both models, check what they say, and print what they take."""
    engine, catalogue = opened(config)
    schema = catalogue.schema
    requests = recorded(config, url, query_texts(config, 2 * queries))
    peer = Peer(url, dict(list(requests.items())[:queries]))
    judged = read_judgments(judgments(config), judgments_columns(config))

    def sides(features: Features, theirs: Sequence[dict[str, Any]]) -> tuple[str, Cascade]:
        taken = retrieved_dataset(engine, features, judged, Sampling(size=SIZE), asked)
        raw = boosted(taken, trees)
        return peer.upload(theirs, raw), cascade_of(engine, features, raw, catalogue)

    print(f"{SIZE} candidates of {len(catalogue):,} listings, {len(peer.requests)} queries")
    print(f"{trees} trees of depth {DEPTH}; {machine()}")
    exact, numbers = exact_features(schema)
    model, cascade = sides(exact, same_values(numbers))
    with closing(Replayer(url)) as replayer:
        rows = same_order(peer, replayer, model, cascade)
        seen = measured(peer, replayer, model, cascade)
    print(f"{len(exact)} features that both know exactly, fields and the score of retrieval")
    print(f"  {rows:,} rows: the same candidates, the same scores bit for bit, the same order")
    show(seen)
    features = features_40(schema)
    boosts = {spec.name: spec.boost for spec in schema.of_kind(Kind.TEXT) if spec.boost > 0}
    model, cascade = sides(features, stand_ins(features.definitions(), boosts))
    with closing(Replayer(url)) as replayer:
        seen = measured(peer, replayer, model, cascade)
    engine.close()
    print(f"{len(features)} features, on Solr's side by fields, functions and queries")
    show(seen)
    ratio = statistics.median(seen[THEIRS]) / statistics.median(seen[OURS])
    print(f"ratio: {ratio:.2f} times as fast as Solr's module, retrieval included")


def show(seen: dict[str, list[float]]) -> None:
    """Print the times of one model, and what reranking adds to retrieval."""
    for name, seconds in seen.items():
        added = statistics.median(a - b for a, b in zip(seconds, seen[ALONE], strict=True)) * 1e3
        beyond = "" if name == ALONE else f"   beyond retrieval alone {added:6.2f} ms"
        print(f"  {name:16} {shown(seconds)}{beyond}")


def asked(query_id: str, text: str) -> Query:
    """Return the query of a judgment."""
    return Query(query_id, text, time=NOW)


if __name__ == "__main__":
    main()
