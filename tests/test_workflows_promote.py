"""The gate: planted bad candidates are refused by the right line, a better one becomes live."""

import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from cascade.candidates import Query
from cascade.config import load_config, open_cascade, registry_of
from cascade.config.settings import ServiceSettings
from cascade.drift import reference_of
from cascade.errors import ChecksumError, InputError, NotFoundError, RefusedError
from cascade.protocols import NEVER
from cascade.rankers import OnnxRanker
from cascade.registry import LIVE, Manifest, read_decisions, text_digest
from cascade.service import Metrics, Service, Switch, logger_of
from cascade.service.bodies import SearchBody
from cascade.workflows import build_index
from cascade.workflows.promote import promote_config, rollback_config
from cascade.workflows.train import column_features, sha256_of
from tests.cup_models import MODEL, QUERIES, configured, linear, save, slowed, write_judgments
from tests.small_shop import CHEAPEST, write_shop

# A mediocre order: what there is most of comes first, whatever it costs.
MEDIOCRE, BEST, WORST = linear(0.0, 1.0), linear(-1.0), linear(1.0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("cups"))


@pytest.fixture(scope="module")
def started(shop, tmp_path_factory):
    """A registry whose live model is the mediocre one."""
    root = tmp_path_factory.mktemp("started") / "models"
    save(configured(shop, root), MEDIOCRE, alias=LIVE)
    return root


@pytest.fixture
def config(shop, started, tmp_path):
    shutil.copytree(started, tmp_path / "models")
    return configured(shop, tmp_path / "models", "gate.slack_ms=2.0")


@pytest.fixture(scope="module")
def judgments(tmp_path_factory):
    return write_judgments(tmp_path_factory.mktemp("judged") / "judgments.tsv")


def refused_by(promotion):
    assert promotion.action == "refused"
    return [check.line for check in promotion.failed]


def test_a_better_model_becomes_live_and_rollback_brings_the_old_one_back(config, judgments):
    save(config, BEST)
    promotion = promote_config(config, judgments=judgments)
    assert promotion.action == "promoted"
    assert promotion.failed == []
    lines = [check.line for check in promotion.checks]
    assert lines[:4] == ["checksum", "fingerprint", "parity", "quality"]
    assert {"torso", "latency", "skew"} <= set(lines)
    registry = registry_of(config)
    assert registry.aliases(MODEL) == {"live": 2, "previous": 1}
    cascade = open_cascade(config)
    assert cascade.ranked(Query("1", "cup")).candidates.ids() == CHEAPEST
    assert rollback_config(config) == {MODEL: (2, 1)}
    assert registry.aliases(MODEL) == {"live": 1, "previous": 2}
    assert rollback_config(config) == {MODEL: (1, 2)}


def test_a_worse_model_is_refused_by_quality_and_changes_nothing(config, judgments):
    save(config, WORST)
    promotion = promote_config(config, judgments=judgments)
    assert refused_by(promotion) == ["quality", "torso"]
    quality = promotion.failed[0]
    assert quality.values["high"] < 0
    assert "nDCG@10 -" in quality.detail
    assert "gate.min_gain" in quality.detail
    assert registry_of(config).aliases(MODEL) == {"live": 1, "candidate": 2}


def test_a_slower_model_is_refused_by_latency_alone(config, judgments):
    save(config, slowed(BEST))
    promotion = promote_config(config, judgments=judgments)
    assert refused_by(promotion) == ["latency"]
    assert "gate.slower" in promotion.failed[0].detail
    assert registry_of(config).aliases(MODEL)[LIVE] == 1


def test_a_bound_in_milliseconds_holds_whatever_is_live(shop, started, tmp_path, judgments):
    shutil.copytree(started, tmp_path / "models")
    config = configured(shop, tmp_path / "models", "gate.p95_ms=1e-6")
    save(config, BEST)
    assert refused_by(promote_config(config, judgments=judgments)) == ["latency"]


def test_a_model_whose_features_were_others_in_training_is_refused_by_skew(
    config, judgments, tmp_path
):
    def in_cents(reference):
        rows = np.random.default_rng(0).uniform(100, 20_000, (4_000, 2)).astype(np.float32)
        offsets = np.arange(41) * 100
        shifted = reference_of(rows, -rows[:, 0], tuple(reference.features), offsets)
        price = {**reference.features, "price": shifted.features["price"]}
        return replace(reference, features=price)

    save(config, BEST, reference=in_cents)
    promotion = promote_config(config, judgments=judgments)
    assert refused_by(promotion) == ["skew"]
    assert "price" in promotion.failed[0].detail
    assert "stock" not in promotion.failed[0].detail
    # A query that finds nothing does not silence the line.
    with_one_more = tmp_path / "judgments.tsv"
    with_one_more.write_text(judgments.read_text() + "zeppelin\tnowhere\t1\n")
    assert refused_by(promote_config(config, judgments=with_one_more)) == ["skew"]


def test_a_model_of_other_definitions_is_refused_by_its_fingerprint(config, judgments):
    save(config, BEST, fingerprint="0" * 64)
    promotion = promote_config(config, judgments=judgments)
    assert refused_by(promotion) == ["fingerprint"]
    assert "other features" in promotion.failed[0].detail


def test_a_model_that_scores_its_probe_differently_is_refused_by_parity(config, judgments):
    save(config, BEST, reference=lambda r: replace(r, probe_scores=r.probe_scores + 1))
    assert refused_by(promote_config(config, judgments=judgments)) == ["parity"]


def test_a_model_without_the_parity_gate_is_refused(config, judgments):
    save(config, BEST, parity_rows=0)
    assert refused_by(promote_config(config, judgments=judgments)) == ["parity"]


@pytest.mark.parametrize("file", ["model.onnx", "manifest.json", "reference.json"])
def test_a_damaged_model_is_refused_by_its_checksum(config, judgments, file):
    path = save(config, BEST).path / file
    content = path.read_bytes()
    path.write_bytes(content.replace(b"0", b"1", 1) if file.endswith("json") else content[:-1])
    promotion = promote_config(config, judgments=judgments)
    assert refused_by(promotion) == ["checksum"]
    assert registry_of(config).aliases(MODEL)[LIVE] == 1


def test_the_same_model_again_passes(config, judgments):
    save(config, MEDIOCRE)
    promotion = promote_config(config, judgments=judgments, switch=False)
    assert promotion.action == "passed"
    quality = next(c for c in promotion.checks if c.line == "quality")
    assert quality.values["mean"] == 0.0
    assert quality.values["p"] == 1.0
    assert registry_of(config).aliases(MODEL) == {"live": 1, "candidate": 2}


def test_the_first_model_is_compared_with_the_order_that_it_was_given(shop, tmp_path, judgments):
    config = configured(shop, tmp_path / "models")
    save(config, WORST)
    promotion = promote_config(config, judgments=judgments)
    assert promotion.data["baseline"] == "bm25"
    assert "quality" in refused_by(promotion)
    save(config, BEST)
    assert promote_config(config, judgments=judgments).action == "promoted"
    assert registry_of(config).aliases(MODEL) == {"live": 2}
    with pytest.raises(NotFoundError, match="no previous"):
        rollback_config(config)


def test_queries_that_either_model_was_trained_on_take_no_part(config, judgments):
    save(config, BEST, trained=[text_digest(text) for text in QUERIES[:15]])
    promotion = promote_config(config, judgments=judgments, switch=False)
    assert promotion.data["queries"] == 25
    save(config, BEST, trained=[text_digest(text) for text in QUERIES])
    with pytest.raises(InputError, match="was trained on"):
        promote_config(config, judgments=judgments)


def test_every_decision_is_kept_and_a_changed_line_is_found(config, judgments):
    save(config, WORST)
    promote_config(config, judgments=judgments)
    save(config, BEST)
    promote_config(config, judgments=judgments)
    rollback_config(config)
    root = registry_of(config).root
    decisions = read_decisions(root)
    assert [d.action for d in decisions] == ["refused", "promoted", "rolled back"]
    assert decisions[1].after == {MODEL: 3}
    assert decisions[1].before == {MODEL: 1}
    assert len(decisions[1].data["sha256"]) == 64
    assert next(c["line"] for c in decisions[0].checks if c["passed"] is False) == "quality"
    path = root / "promotions.ndjson"
    lines = path.read_text().splitlines()
    first = json.loads(lines[0])
    first["action"] = "promoted"
    path.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    with pytest.raises(ChecksumError, match="line 2 does not follow"):
        read_decisions(root)
    path.write_text("\n".join([lines[0], lines[2]]) + "\n")
    with pytest.raises(ChecksumError, match="line 2 does not follow"):
        read_decisions(root)


def test_there_is_nothing_to_promote_without_a_candidate(config, judgments):
    assert promote_config(config, judgments=judgments).action == "nothing"
    with pytest.raises(NotFoundError, match="no candidate"):
        promote_config(config, ["cheap"], judgments)
    with pytest.raises(NotFoundError, match="did you mean 'cheap'"):
        promote_config(config, ["chep"], judgments)


def test_judgments_are_needed(config):
    save(config, BEST)
    with pytest.raises(InputError, match=r"gate\.judgments"):
        promote_config(config)


def test_a_model_that_became_live_meanwhile_stops_the_promotion(config):
    registry = registry_of(config)
    save(config, BEST)
    save(config, BEST, alias=LIVE)
    with pytest.raises(RefusedError, match="became live"):
        registry.promote({MODEL: 2}, {MODEL: 1})
    assert registry.aliases(MODEL)[LIVE] == 3


def logged_by(config):
    """Serve ten searches into a log, and return the configuration that names it."""
    metrics = Metrics()
    logger = logger_of(config, metrics.logged)
    logger.writer.start()
    switch = Switch({"plain": open_cascade(config)})
    service = Service(switch, ServiceSettings(), time.time, metrics, observers=(logger,))
    for text in QUERIES[:10]:
        service.search(SearchBody(text=text), NEVER)
    logger.writer.stop()
    switch.close()


def test_features_that_differ_from_the_logged_ones_are_refused(shop, started, tmp_path, judgments):
    shutil.copytree(started, tmp_path / "models")
    log = f"log.path={json.dumps(str(tmp_path / 'log'))}"
    config = configured(shop, tmp_path / "models", "gate.slack_ms=2.0", log)
    save(config, BEST)
    lines = {
        c.line: c.passed for c in promote_config(config, judgments=judgments, switch=False).checks
    }
    assert lines["log"] is None
    logged_by(config)
    promotion = promote_config(config, judgments=judgments, switch=False)
    line = next(c for c in promotion.checks if c.line == "log")
    assert (line.passed, line.values["requests"]) == (True, 10)
    # The shop changes its prices' unit in its feed: what is computed is no longer what was logged.
    other = tmp_path / "other"
    shutil.copytree(shop.parent, other)
    products = other / "products.ndjson"
    rows = [json.loads(row) for row in products.read_text().splitlines()]
    products.write_text("\n".join(json.dumps({**r, "price": r["price"] * 100}) for r in rows))
    moved = configured(other / shop.name, tmp_path / "models", "gate.slack_ms=2.0", log)
    build_index(moved, [products])
    refused = promote_config(moved, judgments=judgments)
    assert "skew" in refused_by(refused)
    assert registry_of(config).aliases(MODEL)[LIVE] == 1


def test_models_over_given_rows_pass_the_same_gate(tmp_path):
    """Rows of an SVMlight file, without an engine: the first column is what is right."""
    random = np.random.default_rng(0)
    rows = random.uniform(size=(60, 20, 2)).astype(np.float32)
    path = tmp_path / "rows.txt"
    path.write_text(
        "".join(
            f"{int(a > 0.7)} qid:{query} 0:{a} 1:{b}\n"
            for query, listing in enumerate(rows)
            for a, b in listing
        )
    )
    toml = tmp_path / "cascade.toml"
    toml.write_text(
        'name = "plain"\n[judgments]\nformat = "svmlight"\n[evaluation]\nmeasures = ["nDCG@10"]\n'
        '[[stages]]\nname = "cheap"\nranker = "linear"\nwindow = 20\n'
    )
    config = load_config(toml)["plain"]
    features = column_features(["f0", "f1"])

    def add(first: float, second: float, data: dict) -> None:
        model = linear(first, second)
        scores = OnnxRanker(model, features).score_matrix(rows.reshape(-1, 2)).order
        reference = reference_of(rows.reshape(-1, 2), scores, features.names, np.arange(61) * 20)

        def describe(version: int, sha256: str) -> Manifest:
            return Manifest(
                name=MODEL,
                version=version,
                kind="linear",
                features=features.definitions(),
                fingerprint=features.fingerprint,
                model_sha256=sha256,
                parity={"rows": 10_000},
                data=data,
            )

        registry = registry_of(config)
        bundle = registry.save(model, describe, MODEL, {"reference.json": reference.encoded()})
        registry.point(MODEL, "candidate", bundle.manifest.version)

    add(0.3, 1.0, {})
    first = promote_config(config, judgments=path)
    assert (first.action, first.data["baseline"]) == ("promoted", "random")
    add(0.0, 1.0, {})
    assert refused_by(promote_config(config, judgments=path)) == ["quality"]
    add(1.0, 0.0, {})
    assert promote_config(config, judgments=path).action == "promoted"
    add(1.0, 0.0, {"sha256": sha256_of(path)})
    with pytest.raises(InputError, match="was trained on"):
        promote_config(config, judgments=path)
