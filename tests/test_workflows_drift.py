"""The training reference: kept by training, of what is served, and alike on queries held out."""

from pathlib import Path

import numpy as np
import pytest

from cascade.candidates import Query
from cascade.config import load_config, open_cascade, registry_of, store_of
from cascade.drift import SCORE, DriftMonitor, read_reference
from cascade.judgments import JudgmentColumns, read_judgments
from cascade.pipeline import PageRequest, Recording
from cascade.registry import REFERENCE, text_digest


@pytest.fixture(scope="module")
def demo(demo_folder: Path):
    return load_config(demo_folder / "cascade.toml")["shop"]


@pytest.fixture(scope="module")
def held_out(demo, demo_folder):
    """What each stage was given and gave on queries that training left out."""
    columns = JudgmentColumns(query_id="query_id")
    texts = read_judgments(demo_folder / "shop" / "judgments.tsv", columns).texts
    registry = registry_of(demo)
    trained = set(registry.load("shop-linear").manifest.trained_queries)
    cascade = open_cascade(demo)
    recordings = []
    # The clock of judgments: at another hour, features of the time would rightly have moved.
    now = store_of(demo).live().created
    for query_id, text in texts.items():
        if text_digest(text) not in trained:
            recordings.append(Recording())
            query = Query(query_id, text, time=now)
            cascade.ranked(query, PageRequest(size=1), recording=recordings[-1])
    cascade.engine.close()
    return recordings


@pytest.mark.parametrize("stage", [0, 1])
def test_a_stage_is_given_here_what_its_reference_says(demo, held_out, stage):
    name = demo.settings.model_name(demo.settings.stages[stage])
    bundle = registry_of(demo).load(name)
    reference = read_reference(bundle.files[REFERENCE])
    assert tuple(reference.features) == tuple(d["name"] for d in bundle.manifest.features)
    queries = bundle.manifest.data["queries"]
    assert 0.9 * (queries["train"] + queries["validation"]) < reference.listings <= 400
    monitor = DriftMonitor(reference, block=len(held_out))
    shifted = DriftMonitor(reference, block=len(held_out))
    for recording in held_out:
        record = recording.stages[stage]
        monitor.observe(record.matrix, record.scores)
        shifted.observe(record.matrix, record.scores + np.float32(3.0))
    found = monitor.psi()
    # A feature of the query alone differs by (bins - 1) (1 / n + 1 / m) by chance, 0.2 here.
    assert found[SCORE] < 0.25
    assert np.median(list(found.values())) < 0.1
    assert max(found.values()) < 1.0
    assert shifted.psi()[SCORE] > 1.0
