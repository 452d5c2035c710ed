"""Comparing systems: a small case worked by hand, and what is refused."""

import math

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.evaluation import Bootstrap, Settings, Split, evaluate
from cascade.judgments import Judgments
from cascade.measures import Precision, Recall, ReciprocalRank, parse_measure
from cascade.protocols import Run

QUERIES = ("q1", "q2", "q3")
GRADES = {
    "q1": {"a": 2.0, "b": 1.0},
    "q2": {"c": 1.0, "d": 0.0},
    "q3": {"d": 0.0},
    "q4": {"a": 1.0},
}
JUDGMENTS = Judgments({q: q for q in GRADES}, GRADES, skipped=5, conflicts=2)
QUICK = Bootstrap(resamples=200)


def run(*rankings):
    return Run(QUERIES[: len(rankings)], tuple(tuple(ranking) for ranking in rankings))


SYSTEMS = {
    "random": run("xyab", "yxc", "d"),
    "bm25": run("xaby", "xyc", "d"),
    "stage:linear": run("axby", "xcy", "d"),
    "stage:trees": run("abxy", "xcy", "d"),
    "final": run("abxy", "xyc", "d"),
}


def report_of(measures=("RR",), judgments=JUDGMENTS, **settings):
    parsed = [parse_measure(measure) for measure in measures]
    settings = {"bootstrap": QUICK, **settings}
    return evaluate(SYSTEMS, judgments, parsed, Settings(**settings))


def test_means_and_differences_by_hand():
    systems = report_of(["RR", "P@2"]).systems
    assert list(systems) == ["random", "bm25", "stage:linear", "stage:trees", "final"]
    reciprocal = {name: result.measures["RR"].mean for name, result in systems.items()}
    assert reciprocal == pytest.approx(
        {
            "random": (1 / 3 + 1 / 3) / 2,
            "bm25": (1 / 2 + 1 / 3) / 2,
            "stage:linear": (1 + 1 / 2) / 2,
            "stage:trees": (1 + 1 / 2) / 2,
            "final": (1 + 1 / 3) / 2,
        }
    )
    linear = systems["stage:linear"]
    assert linear.delta["RR"].mean == pytest.approx((1 / 2 + 1 / 6) / 2)
    assert linear.delta["RR"].low == pytest.approx(1 / 6)
    assert linear.delta["RR"].high == pytest.approx(1 / 2)
    assert linear.measures["P@2"].mean == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_the_baseline_differs_from_itself_by_nothing():
    delta = report_of().systems["bm25"].delta["RR"]
    assert (delta.mean, delta.low, delta.high) == (0.0, 0.0, 0.0)


def test_what_is_left_out_is_counted():
    report = report_of(["RR", "RR(rel=2)"])
    assert report.queries == 2
    assert report.excluded.undefined == {"RR": 1, "RR(rel=2)": 2}
    assert report.excluded.not_run == 1
    assert (report.excluded.lines_without_grade, report.excluded.conflicts) == (5, 2)


def test_a_stage_is_given_the_order_before_it():
    report = report_of(windows={"linear": 2, "trees": 2, "final": 1}, recall_at=(1, 2, 3))
    # Of bm25: a of q1's two documents and none of q2's one stand in the first two ranks.
    linear = report.windows["linear"]
    assert (linear.window, linear.source, linear.recall) == (2, "bm25", 0.25)
    trees = report.windows["trees"]
    assert (trees.source, trees.recall) == ("stage:linear", pytest.approx((1 / 2 + 1) / 2))
    final = report.windows["final"]
    assert (final.source, final.recall) == ("stage:trees", pytest.approx((1 / 2 + 0) / 2))
    assert report.recall == {1: 0.0, 2: 0.25, 3: 1.0}


def test_what_a_stage_keeps_is_told_of_what_was_retrieved():
    grades = {"q1": {"a": 2.0, "b": 1.0, "z": 1.0}, "q2": {"c": 1.0}, "q3": {"z": 1.0}}
    judgments = Judgments({q: q for q in grades}, grades)
    report = report_of(judgments=judgments, windows={"linear": 2, "trees": 2})
    # z was never retrieved: of a and b the window holds a, of c nothing; q3 has nothing to keep.
    assert report.windows["linear"].kept == pytest.approx((1 / 2 + 0) / 2)
    assert report.windows["trees"].kept == pytest.approx((1 / 2 + 1) / 2)
    assert report.windows["linear"].recall == pytest.approx((1 / 3 + 0 + 0) / 3)
    assert report.windows["trees"].top[10] == 1.0


def test_a_stage_without_anything_to_keep_says_nothing():
    judgments = Judgments({"q1": "q1"}, {"q1": {"z": 1.0}})
    assert math.isnan(report_of(judgments=judgments, windows={"linear": 2}).windows["linear"].kept)


def test_a_first_stage_after_a_random_order_is_given_the_baseline():
    systems = {"random": SYSTEMS["random"], "stage:linear": SYSTEMS["stage:linear"]}
    settings = Settings(baseline="random", windows={"linear": 3}, bootstrap=QUICK)
    linear = evaluate(systems, JUDGMENTS, [ReciprocalRank()], settings).windows["linear"]
    assert (linear.source, linear.recall) == ("random", pytest.approx((1 / 2 + 1) / 2))


def test_the_curve_is_recall_by_cutoff():
    curve = report_of().curve
    trees = dict(zip(curve.cutoffs, curve.systems["stage:trees"], strict=True))
    assert trees[1] == pytest.approx((1 / 2 + 0) / 2)
    assert trees[2] == trees[1000] == 1.0
    assert all(list(line) == sorted(line) for line in curve.systems.values())


def test_outcomes_are_of_the_last_system_on_the_first_measure():
    outcomes = report_of(["RR", "P@2"]).outcomes
    assert (outcomes.system, outcomes.measure) == ("final", "RR")
    assert (outcomes.wins, outcomes.ties, outcomes.losses) == (1, 1, 0)
    at = outcomes.counts.index(1)
    assert outcomes.edges[at] <= 0.5 <= outcomes.edges[at + 1]
    assert sum(outcomes.counts) == outcomes.wins + outcomes.losses


def test_the_lists_of_wins_and_losses_name_the_queries():
    texts = {"q1": "one", "q2": "two", "q3": "three", "q4": "four"}
    judgments = Judgments(texts, GRADES)
    systems = {"bm25": run("xab", "cx", "d"), "final": run("axb", "xc", "d")}
    measures = [ReciprocalRank()]
    report = evaluate(systems, judgments, measures, Settings(bootstrap=QUICK))
    (best,), (worst,) = report.outcomes.best, report.outcomes.worst
    assert (best.query_id, best.text, best.baseline, best.system) == ("q1", "one", 0.5, 1.0)
    assert (worst.text, worst.delta) == ("two", -0.5)
    none = evaluate(systems, judgments, measures, Settings(bootstrap=QUICK, listed=0)).outcomes
    assert (none.best, none.worst) == ((), ())
    assert report.per_query.systems["final"].tolist()[:2] == [1.0, 0.5]


def test_every_system_but_random_and_baseline_is_tested_once():
    report = report_of(["RR", "P@2"])
    assert {n for n, r in report.systems.items() if r.p} == {
        "stage:linear",
        "stage:trees",
        "final",
    }
    # Two queries: 1 of 2 patterns at best, and all of them where one query differs alone.
    assert report.systems["stage:linear"].p["RR"].p == 0.5
    assert report.systems["final"].p["RR"].p == 1.0


def test_a_system_given_twice_is_one_test():
    draws = np.random.default_rng(1)
    queries = tuple(f"q{i}" for i in range(12))
    judgments = Judgments({q: q for q in queries}, {q: {"a": 1.0} for q in queries})
    bm25 = Run(queries, (("b", "a"),) * 12)
    better = Run(
        queries, tuple(("a", "b") if draws.uniform() < 0.8 else ("b", "a") for _ in queries)
    )
    settings = Settings(bootstrap=Bootstrap(5000))
    once = evaluate({"bm25": bm25, "final": better}, judgments, [ReciprocalRank()], settings)
    twice = evaluate(
        {"bm25": bm25, "stage:trees": better, "final": better},
        judgments,
        [ReciprocalRank()],
        settings,
    )
    assert once.systems["final"].p == twice.systems["final"].p
    assert once.systems["final"].p["RR"].holm == once.systems["final"].p["RR"].p < 0.05


def test_losses_stand_left_of_zero():
    swapped = {"bm25": SYSTEMS["stage:trees"], "final": SYSTEMS["bm25"]}
    outcomes = evaluate(swapped, JUDGMENTS, [ReciprocalRank()], Settings(bootstrap=QUICK)).outcomes
    assert (outcomes.wins, outcomes.ties, outcomes.losses) == (0, 0, 2)
    zero = outcomes.edges.index(0.0)
    assert sum(outcomes.counts[:zero]) == 2
    assert sum(outcomes.counts[zero:]) == 0


def test_buckets_hold_their_own_queries():
    split = Split("by hand", {"head": ("q1",), "torso": ("q2",), "tail": ("q3",), "": ()})
    report = report_of(split=split)
    assert report.split == "by hand"
    assert {name: bucket.queries for name, bucket in report.buckets.items()} == {
        "head": 1,
        "torso": 1,
        "tail": 0,
    }
    head, torso, tail = (bucket.systems["final"] for bucket in report.buckets.values())
    assert head.delta["RR"].mean == pytest.approx(1 / 2)
    assert torso.delta["RR"].mean == 0.0
    assert math.isnan(tail.measures["RR"].mean)


def test_a_measure_from_outside_is_asked_for_its_values():
    class Answered:
        """1 for a query with any document."""

        def __str__(self):
            return "answered"

        def per_query(self, run, judgments):
            return np.array([float(bool(ranking)) for ranking in run.rankings])

    systems = {"bm25": run("a", "", "d"), "final": run("a", "c", "d")}
    report = evaluate(systems, JUDGMENTS, [Answered()], Settings(bootstrap=QUICK))
    assert report.systems["final"].delta["answered"].mean == pytest.approx(1 / 3)


def test_a_planted_improvement_is_found_and_a_planted_null_is_not():
    draws = np.random.default_rng(0)
    names = [f"d{i}" for i in range(50)]
    grades, rankings = {}, {"bm25": [], "stage:same": [], "stage:better": []}
    for i in range(300):
        truth = draws.choice([0, 0, 0, 0, 1, 2], size=50)
        grades[f"q{i}"] = {n: float(g) for n, g in zip(names, truth, strict=True)}
        for system, strength in {"bm25": 0.5, "stage:same": 0.5, "stage:better": 0.8}.items():
            order = np.argsort(-(strength * truth + draws.normal(size=50)))
            rankings[system].append(tuple(names[j] for j in order))
    judgments = Judgments({q: q for q in grades}, grades)
    systems = {name: Run(tuple(grades), tuple(lists)) for name, lists in rankings.items()}
    measures = [parse_measure("nDCG@10")]
    # A level of 0.999, because one null in twenty is found at 0.95.
    settings = Settings(bootstrap=Bootstrap(resamples=2000, level=0.999))
    results = evaluate(systems, judgments, measures, settings).systems
    assert results["stage:better"].delta["nDCG@10"].sign == 1
    assert results["stage:same"].delta["nDCG@10"].sign == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"baseline": "bm26"}, "baseline 'bm26' is not among the systems; did you mean 'bm25'"),
        ({"windows": {"liner": 10}}, "window 'liner' names no system; did you mean 'linear'"),
        ({"windows": {"linear": 0}}, "window of 'linear' is 0; it is 1 or more"),
        (
            {"split": Split("x", {"head": ("q1", "q9")})},
            "bucket 'head' holds 1 queries that the runs do not have, such as 'q9'",
        ),
        ({"recall_at": (0,)}, "R@0: a cutoff is 1 or more"),
    ],
)
def test_settings_that_fit_no_run_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        report_of(**settings)


def test_runs_over_other_queries_are_refused():
    systems = {"bm25": SYSTEMS["bm25"], "final": run("ab", "c")}
    with pytest.raises(InputError, match=r"'final' and 'bm25' differ in their queries \(2 and 3\)"):
        evaluate(systems, JUDGMENTS, [ReciprocalRank()])


def test_no_measure_and_a_measure_given_twice_are_refused():
    with pytest.raises(InputError, match="no measure is given"):
        evaluate(SYSTEMS, JUDGMENTS, [])
    with pytest.raises(InputError, match="given twice: P@2, P@2"):
        evaluate(SYSTEMS, JUDGMENTS, [Precision(2), Precision(2)])


def test_judgments_without_a_grade_above_zero_are_refused():
    nothing = Judgments({"q1": "q1"}, {"q1": {"a": 0.0}})
    with pytest.raises(InputError, match="none of the 3 queries has a document with a grade"):
        evaluate(SYSTEMS, nothing, [Recall(10)])
