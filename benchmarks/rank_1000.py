"""Ranking 1,000 candidates: the cascade against JSON documents, dicts and one large model.

Both get what retrieval found for a query; the engine's time is apart. The cascade gets rows and
scores and reads its 40 features from the catalogue: linear on 1,000, 300 trees of depth 6 on 300,
business on 100, one ONNX thread. The peer is the usual stack: the engine's answer with 1,000 full
documents parsed by `json`, the same features from dicts in plain Python, the same trees by ONNX
Runtime with its defaults on all 1,000 rows, `sorted`. Its analysis is only `lower().split()`,
which is cheaper than ours. The two take turns, query by query.
"""

from __future__ import annotations

import argparse
import bisect
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise
from typing import Any

import numpy as np
import onnxruntime as ort
from _shop import FOLDER, indexed, judgments, machine, opened, products, query_texts, shown

from cascade.candidates import Candidates, Query, joined
from cascade.config import Config, business_of, judgments_columns
from cascade.features import Features, build_features, standard_features
from cascade.judgments import read_judgments
from cascade.pipeline import Cascade, Outcome, Stage
from cascade.protocols import Engine
from cascade.rankers import OnnxRanker
from cascade.schema import Schema
from cascade.training.dataset import Dataset, Sampling, retrieved_dataset
from cascade.training.fit import LinearOptions, fit_linear
from cascade.training.trees_onnx import trees_to_onnx

QUOTED_IN_README = True

TREES, DEPTH = 300, 6
LEFT_OUT = (
    *("keyword_match_material", "keyword_coverage_material"),
    *("keyword_match_colour", "keyword_coverage_colour"),
    *("log_photos", "percentile_photos", "log_favourites", "percentile_favourites"),
    *("length_tags", "length_shop_name", "ordered_pairs_shop_name", "query_density_title"),
)
PREFERENCE = {"revenue": 0.2, "new_sellers": 0.1}
NOW = 1_748_736_000.0
PAGE = 24
DAY_S = 86_400
ROUNDS = 3
# ONNX Runtime's default threads spin for tens of milliseconds after a run.
REST_S = 0.06


def features_40(schema: Schema) -> Features:
    """Return the standard features of the shop but twelve."""
    chosen = [d for d in standard_features(schema) if d["name"] not in LEFT_OUT]
    return build_features(chosen, schema)


def models(config: Config, engine: Engine, features: Features) -> tuple[bytes, bytes]:
    """Return a linear model and 300 full trees, fitted on the shop's judgments and kept."""
    paths = [
        FOLDER / f"{name}-{features.fingerprint[:12]}-{TREES}-{DEPTH}.onnx"
        for name in ("linear", "trees")
    ]
    if not all(path.is_file() for path in paths):
        judged = read_judgments(judgments(config), judgments_columns(config))
        dataset = retrieved_dataset(engine, features, judged, Sampling(size=1_000))
        paths[0].write_bytes(fit_linear(dataset, LinearOptions()).onnx)
        paths[1].write_bytes(trees_to_onnx(_booster(dataset), best_iteration=TREES - 1))
    return paths[0].read_bytes(), paths[1].read_bytes()


def _booster(dataset: Dataset) -> bytes:
    import xgboost

    matrix = xgboost.DMatrix(dataset.matrix, label=dataset.grades, missing=np.nan)
    matrix.set_group(np.diff(dataset.offsets))
    settings = {
        "objective": "rank:ndcg",
        "max_depth": DEPTH,
        "eta": 0.05,
        "tree_method": "hist",
        "min_child_weight": 0.1,
    }
    return bytes(xgboost.train(settings, matrix, TREES).save_raw("json"))


class Usual:
    """The usual stack: statistics in dicts, features from parsed documents, one model."""

    fields = ("title", "tags", "description", "seller_name")
    boosts = (3.0, 1.5, 1.0, 0.5)
    keywords = ("category", "brand")
    numbers = ("price", "rating", "reviews", "seller_age_days")

    def __init__(self, corpus: Sequence[Mapping[str, Any]], model: bytes) -> None:
        self.session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.average: dict[str, float] = {}
        self.idf: dict[str, dict[str, float]] = {}
        for field in self.fields:
            lists = [tokens for d in corpus if (tokens := _tokens(d.get(field)))]
            frequency: dict[str, int] = {}
            for tokens in lists:
                for token in set(tokens):
                    frequency[token] = frequency.get(token, 0) + 1
            count = len(lists)
            self.average[field] = sum(map(len, lists)) / max(count, 1)
            self.idf[field] = {
                t: math.log(1 + (count - n + 0.5) / (n + 0.5)) for t, n in frequency.items()
            }
        self.unseen = math.log(1 + (len(corpus) + 0.5) / 0.5)

    def rank(self, text: str, answer: bytes) -> list[str]:
        """Return the ids of the engine's answer in the model's order."""
        hits = json.loads(answer)["hits"]["hits"]
        rows = self.features(text, hits)
        matrix = np.array(rows, dtype=np.float32)
        scores = self.session.run(None, {"features": matrix})[0].ravel().tolist()
        order = sorted(range(len(hits)), key=lambda i: -scores[i])
        return [hits[i]["_id"] for i in order]

    def features(self, text: str, hits: Sequence[Mapping[str, Any]]) -> list[list[float]]:
        """Return 40 values for each hit."""
        query = text.lower().split()
        terms = list(dict.fromkeys(query))
        pairs = set(pairwise(query))
        idf = {f: [self.idf[f].get(t, self.unseen) for t in terms] for f in self.fields}
        about = [len(query), sum(idf["title"]) / len(terms), max(idf["title"])]
        ladder = {
            name: sorted(v for h in hits if (v := h["_source"].get(name)) is not None)
            for name in self.numbers
        }
        best = hits[0]["_score"] or 1.0
        rows = []
        for rank, hit in enumerate(hits, 1):
            source = hit["_source"]
            row = self._texts(source, query, terms, pairs, idf)
            for name in self.keywords:
                value = _tokens(source.get(name))
                inside = sum(1 for t in value if t in terms)
                row.append(1.0 if value and inside == len(value) else 0.0)
                row.append(inside / len(value) if value else math.nan)
            for name in self.numbers:
                number = source.get(name)
                if number is None:
                    row += (math.nan, math.nan)
                    continue
                row.append(math.copysign(math.log1p(abs(number)), number))
                row.append(bisect.bisect_left(ladder[name], number) / len(ladder[name]))
            row.append((NOW - datetime.fromisoformat(source["created"]).timestamp()) / DAY_S)
            row += about
            row += (hit["_score"], rank, hit["_score"] / best)
            rows.append(row)
        return rows

    def _texts(
        self,
        source: Mapping[str, Any],
        query: list[str],
        terms: list[str],
        pairs: set[tuple[str, str]],
        idf: Mapping[str, list[float]],
    ) -> list[float]:
        row: list[float] = []
        present: set[str] = set()
        scores = []
        for field in self.fields:
            tokens = _tokens(source.get(field))
            length = len(tokens)
            counts = [tokens.count(t) for t in terms]
            weights = idf[field]
            norm = 1.2 * (0.25 + 0.75 * length / self.average[field])
            score = sum(w * 2.2 * c / (c + norm) for w, c in zip(weights, counts, strict=True))
            scores.append(score)
            here = [t for t, c in zip(terms, counts, strict=True) if c]
            present.update(here)
            row += (score, len(here) / len(terms))
            if field != "seller_name":
                found = pairs.intersection(pairwise(tokens)) if pairs else ()
                row.append(len(found) / len(pairs) if pairs else math.nan)
            if field in ("title", "description"):
                row.append(length)
            if field == "title":
                have = sum(w for w, c in zip(weights, counts, strict=True) if c)
                lacking = [w for w, c in zip(weights, counts, strict=True) if not c]
                first = min((tokens.index(t) + 1 for t in here), default=0)
                size = len(query)
                phrase = any(tokens[i : i + size] == query for i in range(length - size + 1))
                row += (have / sum(weights), max(lacking, default=0.0))
                row += (1 / first if first else 0.0, float(phrase), float(tokens == query))
        total = sum(b * s for b, s in zip(self.boosts, scores, strict=True))
        row += (len(present) / len(terms), max(scores), total)
        return row


def _tokens(value: object) -> list[str]:
    if isinstance(value, list):
        value = " ".join(value)
    return value.lower().split() if isinstance(value, str) else []


def fresh(found: Candidates) -> Candidates:
    """Return the candidates as retrieval gives them, with nothing computed yet."""
    return Candidates(
        queries=found.queries,
        offsets=found.offsets,
        rows=found.rows,
        scores=found.scores,
        documents=found.documents,
        columns=found.columns,
    )


def parts_of(cascade: Cascade, listing: Candidates) -> dict[str, float]:
    """Do what `Cascade.reorder` does step by step, and return the seconds of each step."""
    told: dict[str, float] = {}
    clock = time.perf_counter
    start = clock()

    def note(part: str) -> None:
        nonlocal start
        told[part] = told.get(part, 0.0) + clock() - start
        start = clock()

    for stage in cascade.stages:
        listing = stage.ranker.prepared(listing)
    note("prepare (listing features)")
    head, tail = listing, None
    for stage in cascade.stages:
        head, below = head.split(stage.window)
        if below is not None:
            tail = below if tail is None else joined(below, tail)
        ranker = stage.ranker
        assert isinstance(ranker, OnnxRanker)
        note("split and join")
        matrix = ranker.features.matrix(head)
        note(f"{stage.name}: features")
        scores = ranker.score_matrix(matrix)
        note(f"{stage.name}: ONNX")
        head = head.reranked(scores.order)
        note(f"{stage.name}: reorder")
    ranked = head if tail is None else joined(head, tail)
    note("split and join")
    assert cascade.business is not None
    cascade.business.rerank(ranked)
    note("business")
    return told


@dataclass(frozen=True)
class Clocked:
    """Hold wall seconds, and CPU seconds of all threads, which a busy machine does not change."""

    wall: list[float]
    cpu: list[float]

    def __str__(self) -> str:
        return f"{shown(self.wall)}   CPU {np.median(self.cpu) * 1e3:6.2f} ms"


@dataclass(frozen=True)
class Measured:
    """Hold the seconds of each query, the best of its rounds."""

    ours: Clocked
    theirs: Clocked
    fetched: list[float]
    parts: dict[str, list[float]]


Case = tuple[Query, Candidates, bytes]


def cases_of(cascade: Cascade, texts: Sequence[str], sources: Mapping[str, Any]) -> Iterator[Case]:
    """Yield query, candidates and the answer of an engine that sends whole documents."""
    for text in texts:
        query = Query(text, text, preference=PREFERENCE, time=NOW)
        found = cascade.engine.retrieve([query], 1_000).candidates
        if len(found) == 1_000:
            hits = [
                {"_index": "shop", "_id": i, "_score": float(s), "_source": sources[i]}
                for i, s in zip(found.ids(), found.scores, strict=True)
            ]
            yield query, found, json.dumps({"hits": {"hits": hits}}).encode()


def measured(cascade: Cascade, usual: Usual, cases: Sequence[Case]) -> Measured:
    """Let both rank each query in turn, some rounds long, the first of which does not count."""
    rounds: list[Measured] = []
    for _ in range(ROUNDS + 1):
        seen = Measured(Clocked([], []), Clocked([], []), Clocked([], []), {})
        for query, found, answer in cases:
            listing = fresh(found)
            with timed(seen.ours):
                ranked, _, traces = cascade.reorder(listing)
                page = ranked.take(np.arange(PAGE)).ids()
            if any(trace.outcome is not Outcome.RAN for trace in traces):
                raise SystemExit(f"a stage did not run: {traces}")
            with timed(seen.fetched):
                cascade.engine.fetch(query, page)
            for part, seconds in parts_of(cascade, fresh(found)).items():
                seen.parts.setdefault(part, []).append(seconds)
            with timed(seen.theirs):
                usual.rank(query.text, answer)
            time.sleep(REST_S)
        rounds.append(seen)
    rounds = rounds[1:]
    return Measured(
        ours=_best_of([r.ours for r in rounds]),
        theirs=_best_of([r.theirs for r in rounds]),
        fetched=_best_of([r.fetched for r in rounds]),
        parts={part: _best([r.parts[part] for r in rounds]) for part in rounds[0].parts},
    )


@contextmanager
def timed(clocked: Clocked) -> Iterator[None]:
    """Append how long the block takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    clocked.wall.append(time.perf_counter() - wall)
    clocked.cpu.append(time.process_time() - cpu)


def _best_of(rounds: Sequence[Clocked]) -> Clocked:
    return Clocked(_best([r.wall for r in rounds]), _best([r.cpu for r in rounds]))


def _best(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [min(seconds) for seconds in zip(*rounds, strict=True)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=60)
    asked = parser.parse_args()
    config = indexed(asked.listings)
    engine, catalogue = opened(config)
    features = features_40(catalogue.schema)
    linear, trees = models(config, engine, features)
    stages = (
        Stage("linear", OnnxRanker(linear, features), 1_000),
        Stage("trees", OnnxRanker(trees, features), 300),
    )
    cascade = Cascade(engine, catalogue, stages, business_of(config, catalogue.schema))
    with products(config).open("rb") as stream:
        corpus = [json.loads(line) for line in stream]
    usual = Usual(corpus, trees)
    sources = {str(document["id"]): document for document in corpus}
    cases = list(islice(cases_of(cascade, query_texts(config, 400), sources), asked.queries))
    width = len(usual.features(cases[0][0].text, json.loads(cases[0][2])["hits"]["hits"])[0])
    if width != len(features):
        raise SystemExit(f"the peer has {width} features, the cascade {len(features)}")
    seen = measured(cascade, usual, cases)
    engine.close()

    size = sum(len(answer) for _, _, answer in cases) / len(cases) / 1e6
    print(f"ranking 1,000 of {asked.listings:,} listings, {len(features)} features,")
    print(f"{TREES} trees of depth {DEPTH} ({len(trees) / 1e6:.1f} MB), {len(cases)} queries")
    print(machine())
    print(f"  cascade                          {seen.ours}")
    for part, seconds in seen.parts.items():
        print(f"    {part:<30} {shown(seconds)}")
    print(f"  usual stack ({size:.1f} MB of JSON)     {seen.theirs}")
    print(f"  fetch of a page of {PAGE}, apart      {seen.fetched}")
    mine, other = np.median(seen.ours.wall), np.median(seen.theirs.wall)
    print(f"ratio: 1/{other / mine:.1f} of the usual stack's time (target: at most 1/8)")
    cpu = np.median(seen.theirs.cpu) / np.median(seen.ours.cpu)
    print(f"in CPU time of all threads: 1/{cpu:.1f}")
    print(f"with the page's fetch: 1/{other / (mine + np.median(seen.fetched.wall)):.1f}")


if __name__ == "__main__":
    main()
