"""The gate's lines on numbers whose outcome is known beforehand."""

import numpy as np
import pytest

from cascade.config.gate_settings import GateSettings
from cascade.drift import reference_of
from cascade.evaluation import Bootstrap
from cascade.workflows.gate import (
    bucket_checks,
    latency_check,
    logged_check,
    quality_check,
    skew_check,
)
from cascade.workflows.skew import FeatureSkew, SkewReport

BOOTSTRAP = Bootstrap(2_000)
GATE = GateSettings()


def quality(differences, **gate):
    live = np.full(len(differences), 0.5)
    found = live + np.array(differences)
    return quality_check("nDCG@10", found, live, GateSettings(**gate), BOOTSTRAP)


def test_a_certain_small_loss_is_accepted_and_a_larger_one_is_not():
    assert quality([-0.001] * 50).passed is True
    refused = quality([-0.003] * 50)
    assert refused.passed is False
    assert refused.values["mean"] == pytest.approx(-0.003)
    assert quality([-0.003] * 50, min_gain=-0.01).passed is True
    assert quality([0.004] * 50, min_gain=0.005).passed is False


def test_a_gain_that_few_queries_cannot_show_is_refused():
    few = quality([0.3, -0.2, 0.1, -0.15])
    assert few.values["mean"] > 0
    assert few.passed is False
    assert "judge more queries" in few.detail
    assert quality([0.3, -0.2, 0.1, -0.15] * 200).passed is True


def test_no_query_with_a_value_refuses():
    assert quality([float("nan")] * 3).passed is False


def test_a_part_of_the_queries_that_surely_loses_is_named_though_all_gain():
    live = np.full(40, 0.5)
    found = live + np.array([0.1] * 30 + [-0.1] * 10)
    buckets = {"head": range(30), "tail": range(30, 40), "torso": []}
    checks = {c.line: c for c in bucket_checks(buckets, found, live, GATE, BOOTSTRAP)}
    assert (checks["head"].passed, checks["tail"].passed) == (True, False)
    assert "gate.bucket_loss" in checks["tail"].detail
    assert "torso" not in checks
    # A loss that chance explains does not refuse.
    noisy = live + np.array([0.1] * 30 + [0.4, -0.5] * 5)
    checks = {c.line: c for c in bucket_checks(buckets, noisy, live, GATE, BOOTSTRAP)}
    assert checks["tail"].passed is True


@pytest.mark.parametrize(
    ("candidate", "live", "settings", "passed"),
    [
        (14.9, 10.0, {}, True),
        (15.1, 10.0, {}, False),
        (0.9, 0.1, {}, True),  # nine times as long, but less than a millisecond
        (20.0, 10.0, {"slower": 2.5}, True),
        (5.0, None, {}, True),
        (5.0, None, {"p95_ms": 4.0}, False),
        (5.0, 10.0, {"p99_ms": 4.0}, False),
    ],
)
def test_what_is_slower_than_it_may_be_is_refused(candidate, live, settings, passed):
    before = None if live is None else np.full(100, live)
    check = latency_check(np.full(100, candidate), before, GateSettings(**settings))
    assert check.passed is passed


def test_the_bound_on_the_stability_index_falls_with_more_queries():
    matrix = np.ones((4_000, 1), np.float32)
    reference = reference_of(matrix, matrix[:, 0], ("a",), np.arange(4_001))
    few, many = (
        skew_check({"a": 0.5, "score": 0.0}, n, reference, "m/1", GATE) for n in (60, 4_000)
    )
    assert (few.passed, many.passed) == (True, False)
    assert "m/1" in many.detail
    assert "a 0.50" in many.detail
    # chi-squared of 9 degrees at 4 deviations is 36.5: 0.25 + 36.5 (1 / 4000 + 1 / 4000)
    assert many.values["bound"] == pytest.approx(0.2686, abs=0.001)


def test_logged_features_that_differ_refuse_those_who_read_them():
    report = SkewReport(10, (FeatureSkew("cheap", "price", 100, 5, 1.0),))
    assert logged_check(report, {"price"}, GATE).passed is False
    assert "price in 5.0%" in logged_check(report, {"price"}, GATE).detail
    assert logged_check(report, {"stock"}, GATE).passed is True
    assert logged_check(report, {"price"}, GateSettings(skew_share=0.05)).passed is True
    assert logged_check(SkewReport(0, ()), {"price"}, GATE).passed is None


def test_a_model_that_is_given_no_rows_is_not_said_to_be_free_of_skew():
    matrix = np.ones((40, 1), np.float32)
    reference = reference_of(matrix, matrix[:, 0], ("a",), np.arange(41))
    assert skew_check({}, 0, reference, "m/1", GATE).passed is None
