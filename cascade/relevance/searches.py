"""What relevance tests measure of one configuration."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cascade.business.where import matches
from cascade.candidates import Float64, Query
from cascade.config import Config, judgments_columns, open_cascade, store_of
from cascade.errors import InputError, nearest
from cascade.evaluation import Bootstrap
from cascade.filters import parse
from cascade.judgments import Judgments, read_judgments
from cascade.measures import NDCG, Recall, graded
from cascade.pipeline import Cascade, PageRequest
from cascade.relevance.estimate import Estimate
from cascade.workflows.progress import silent
from cascade.workflows.runs import BM25, Rankings, full_rankings, unhurried

WARM_QUERIES = 20
_TAIL = 0.025


@dataclass
class Searches:
    """Measure what a configuration's cascade finds; every judged query is searched once.

    Attributes:
        config: The settings, for any engine.
        cascade: What searches.
        resamples: Of the bootstrap that makes the intervals.
    """

    config: Config
    cascade: Cascade
    resamples: int = 2_000
    _judgments: dict[Path, Judgments] = field(default_factory=dict)
    _rankings: dict[Path, Rankings] = field(default_factory=dict)

    @classmethod
    def open(cls, config: Config) -> Searches:
        """Open the live generation of a configuration with its models.

        Raises:
            NotFoundError: If the index or a model was not made yet.
        """
        return cls(config, open_cascade(config))

    def close(self) -> None:
        """Let go of the engine."""
        self.cascade.engine.close()

    def ndcg(self, judgments: Path, at: int, system: str) -> Estimate:
        """Return nDCG at a cutoff, over full retrieval, of a system: "final", "bm25", "stage:x".

        Raises:
            InputError: If there is no such system, or the judgments cannot be used.
        """
        measure = NDCG(at)
        return self._measured(judgments, measure, system)

    def recall(self, judgments: Path, window: int) -> Estimate:
        """Return the share of the documents with a grade above 0 that retrieval brings in time.

        Args:
            judgments: The file.
            window: The rows of the engine's order that count.

        Raises:
            InputError: If retrieval is configured to bring fewer rows than the window.
        """
        size = self.cascade.size
        if window > size:
            raise InputError(
                f"recall_at_window: the window is {window}, and retrieval.size is {size}; "
                "give a smaller window or retrieve more"
            )
        return self._measured(judgments, Recall(window), BM25)

    def p95_ms(self, judgments: Path, repeats: int) -> Estimate:
        """Return the 95th percentile of a page's time in milliseconds, from a warm process.

        The interval is that of the percentile over redrawn measurements.
        """
        texts = list(self._read(judgments).texts.values())
        if not texts or repeats < 1:
            raise InputError(
                f"p95_ms: {len(texts)} queries and repeats = {repeats}; give at least one of each"
            )
        taken = []
        for text in texts[:WARM_QUERIES]:
            self._page_ms(text)
        for _ in range(repeats):
            taken += [self._page_ms(text) for text in texts]
        times = np.array(taken)
        draws = np.random.default_rng(0).integers(len(times), size=(self.resamples, len(times)))
        tails = np.quantile(np.quantile(times[draws], 0.95, axis=1), [_TAIL, 1 - _TAIL])
        return Estimate(
            float(np.quantile(times, 0.95)),
            what="p95 of a page",
            bounds=(float(tails[0]), float(tails[1])),
            queries=len(texts),
            unit=" ms",
        )

    def share(self, group: Mapping[str, Any], judgments: Path, at: int) -> Estimate:
        """Return the share of first-page rows that a filter accepts, averaged over queries.

        Args:
            group: A filter, `{"new_seller": 1}`.
            judgments: A file with the queries; its grades are not read.
            at: How many rows of each final list count.
        """
        tree = parse(group, self.cascade.documents.schema)
        shares, cascade = [], unhurried(self.cascade)
        for query_id, text in self._read(judgments).texts.items():
            query = Query(query_id, text, time=self._time())
            head = cascade.ranked(query, PageRequest(size=at)).candidates.head(at)
            shares.append(matches(tree, head).mean() if len(head) else np.nan)
        return self._estimate(np.array(shares), f"share of {dict(group)} in the first {at}")

    def _measured(self, judgments: Path, measure: NDCG | Recall, system: str) -> Estimate:
        read = self._read(judgments)
        if judgments not in self._rankings:
            self._rankings[judgments] = full_rankings(self.cascade, read, self._time(), silent)
        runs = self._rankings[judgments].runs()
        if system not in runs:
            raise InputError(f"there is no system {system!r}; {nearest(system, runs)}")
        values = measure.of(graded(runs[system], read))
        return self._estimate(values, f"{measure} of {system}")

    def _estimate(self, values: Float64, what: str) -> Estimate:
        interval = Bootstrap(self.resamples).intervals(values[:, None])[0]
        count = int(np.count_nonzero(~np.isnan(values)))
        if not count:
            raise InputError(f"{what}: no query has a value; check that the file is of this index")
        bounds = (interval.low, interval.high)
        return Estimate(interval.mean, what=what, bounds=bounds, queries=count)

    def _read(self, judgments: Path) -> Judgments:
        if judgments not in self._judgments:
            self._judgments[judgments] = read_judgments(judgments, judgments_columns(self.config))
        return self._judgments[judgments]

    def _time(self) -> float:
        return store_of(self.config).get(self.cascade.documents.generation).created

    def _page_ms(self, text: str) -> float:
        start = time.perf_counter()
        self.cascade.search(Query("p95", text, time=self._time()))
        return (time.perf_counter() - start) * 1e3
