"""Measures: hand calculations, ir_measures as reference, and what parsing says."""

import math
import shutil

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.errors import InputError
from cascade.judgments import Judgments
from cascade.measures import (
    NDCG,
    AveragePrecision,
    BinaryPreference,
    Precision,
    Recall,
    ReciprocalRank,
    graded,
    parse_measure,
)
from cascade.protocols import Run

GRADES = 5


def judged(grades):
    return Judgments({query: query for query in grades}, grades)


def run_of(rankings):
    return Run(tuple(rankings), tuple(tuple(ranking) for ranking in rankings.values()))


def random_case(seed, queries=40):
    """Rankings of 0 to 60 of 80 documents, 1 to 50 of them judged; some have no hit."""
    rng = np.random.default_rng(seed)
    names = np.array([f"d{i}" for i in range(80)])
    grades, rankings = {}, {}
    for i in range(queries):
        chosen = rng.permutation(names)[: rng.integers(1, 51)]
        grades[f"q{i}"] = {str(d): float(rng.integers(0, GRADES)) for d in chosen}
        rankings[f"q{i}"] = [str(d) for d in rng.permutation(names)[: rng.integers(0, 61)]]
    grades["q0"] = dict.fromkeys(grades["q0"], 0.0)
    rankings["q1"] = []
    return run_of(rankings), judged(grades)


def reference(measure, run, judgments):
    """Return what ir_measures gives, by query id."""
    qrels = [
        ir_measures.Qrel(query, doc, int(grade))
        for query, grades in judgments.grades.items()
        for doc, grade in grades.items()
    ]
    scored = [
        ir_measures.ScoredDoc(query, doc, 1000.0 - rank)
        for query, ranking in zip(run.query_ids, run.rankings, strict=True)
        for rank, doc in enumerate(ranking)
    ]
    return {m.query_id: m.value for m in ir_measures.iter_calc([measure], qrels, scored)}


@pytest.mark.parametrize(
    ("written", "peer"),
    [
        ("nDCG@10", ir_measures.nDCG @ 10),
        ("nDCG@3", ir_measures.nDCG @ 3),
        ("nDCG", ir_measures.nDCG),
        # The same definition by trec_eval: its gains, mapped to 2^grade - 1.
        (
            "nDCG(dcg='exp-log2')@10",
            ir_measures.nDCG(gains={g: 2**g - 1 for g in range(GRADES)}) @ 10,
        ),
        ("RR", ir_measures.RR),
        ("RR@10", ir_measures.RR @ 10),
        ("RR(rel=3)@5", ir_measures.RR(rel=3) @ 5),
        ("R@10", ir_measures.R @ 10),
        ("R@100", ir_measures.R @ 100),
        ("R(rel=2)@10", ir_measures.R(rel=2) @ 10),
        ("P@10", ir_measures.P @ 10),
        ("P(rel=2)@10", ir_measures.P(rel=2) @ 10),
        ("AP", ir_measures.AP),
        ("AP(rel=2)", ir_measures.AP(rel=2)),
        ("AP@10", ir_measures.AP @ 10),
        ("AP(rel=3)@7", ir_measures.AP(rel=3) @ 7),
        ("Success@3", ir_measures.Success @ 3),
        ("Success(rel=4)@1", ir_measures.Success(rel=4) @ 1),
        ("Rprec", ir_measures.Rprec),
        ("Rprec(rel=2)", ir_measures.Rprec(rel=2)),
        ("IPrec@0", ir_measures.IPrec @ 0.0),
        ("IPrec@0.1", ir_measures.IPrec @ 0.1),
        ("IPrec(rel=2)@0.5", ir_measures.IPrec(rel=2) @ 0.5),
        ("IPrec@1", ir_measures.IPrec @ 1.0),
        ("Bpref", ir_measures.Bpref),
        ("Bpref(rel=3)", ir_measures.Bpref(rel=3)),
        ("SetP", ir_measures.SetP),
        ("SetP(rel=2, relative=True)", ir_measures.SetP(rel=2, relative=True)),
        ("SetR(rel=2)", ir_measures.SetR(rel=2)),
        ("SetF", ir_measures.SetF),
        ("SetF(beta=0.5)", ir_measures.SetF(beta=0.5)),
        ("SetAP(rel=2)", ir_measures.SetAP(rel=2)),
        ("NumRet", ir_measures.NumRet),
        ("NumRet(rel=2)", ir_measures.NumRet(rel=2)),
        ("NumRelRet", ir_measures.NumRet(rel=1)),
        ("Judged@10", ir_measures.Judged @ 10),
        ("Judged", ir_measures.Judged),
        ("Compat", ir_measures.Compat),
        ("Compat(p=0.8)", ir_measures.Compat(p=0.8)),
        ("Compat(p=0.9, normalize=False)", ir_measures.Compat(p=0.9, normalize=False)),
        ("nDCG(judged_only=True)@10", ir_measures.nDCG(judged_only=True) @ 10),
        ("AP(judged_only=True)", ir_measures.AP(judged_only=True)),
        ("P(judged_only=True)@5", ir_measures.P(judged_only=True) @ 5),
        ("R(judged_only=True)@5", ir_measures.R(judged_only=True) @ 5),
        ("RR(judged_only=True)", ir_measures.RR(judged_only=True)),
        ("SetP(judged_only=True)", ir_measures.SetP(judged_only=True)),
        ("nDCG(gains={1: 5, 4: 2})@10", ir_measures.nDCG(gains={1: 5, 4: 2}) @ 10),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_equals_ir_measures_on_random_runs(written, peer, seed):
    run, judgments = random_case(seed)
    measure = parse_measure(written)
    level = getattr(measure, "rel", None) or 1
    expected = reference(peer, run, judgments)
    values = measure.per_query(run, judgments)
    defined = 0
    for query_id, value in zip(run.query_ids, values, strict=True):
        if math.isnan(value):
            assert max(judgments.grades[query_id].values()) < level
        else:
            # ir_measures leaves out a query that the run has no document for.
            assert value == pytest.approx(expected.get(query_id, 0.0), abs=1e-12)
            defined += 1
    assert defined >= 30


@pytest.mark.parametrize("cutoff", [1, 5, 20])
@pytest.mark.skipif(not shutil.which("perl"), reason="unsupported: gdeval is a Perl script")
def test_err_equals_that_of_gdeval(cutoff):
    run, judgments = random_case(3)
    # gdeval takes numbers for query ids.
    run = Run(tuple(q[1:] for q in run.query_ids), run.rankings)
    judgments = judged({q[1:]: grades for q, grades in judgments.grades.items()})
    expected = reference(ir_measures.ERR @ cutoff, run, judgments)
    values = parse_measure(f"ERR@{cutoff}").per_query(run, judgments)
    for query_id, value in zip(run.query_ids, values, strict=True):
        # gdeval prints five decimals.
        assert np.nan_to_num(value) == pytest.approx(expected.get(query_id, 0.0), abs=6e-6)
    assert np.nanmax(values) > 0.5


def test_accuracy_equals_that_of_ir_measures():
    run, judgments = random_case(4)
    expected = reference(ir_measures.Accuracy @ 20, run, judgments)
    values = parse_measure("Accuracy@20").per_query(run, judgments)
    found = {q: v for q, v in zip(run.query_ids, values, strict=True) if not math.isnan(v)}
    assert found == pytest.approx(expected)
    assert len(found) > 30


def test_number_of_relevant_documents():
    run, judgments = random_case(5)
    expected = reference(ir_measures.NumRel, run, judgments)
    values = parse_measure("NumRel").per_query(run, judgments)
    found = dict(zip(run.query_ids, values, strict=True))
    # ir_measures leaves out a query that the run has no document for.
    ranked = [q for q, ranking in zip(run.query_ids, run.rankings, strict=True) if ranking]
    assert {q: found[q] for q in ranked} == {q: expected[q] for q in ranked}
    twos = parse_measure("NumRel(rel=2)").per_query(run, judgments)
    assert twos.tolist() == [count_of(judgments, query_id, 2) for query_id in run.query_ids]


def count_of(judgments, query_id, rel=1):
    return sum(grade >= rel for grade in judgments.grades[query_id].values())


def test_rank_biased_precision_by_hand():
    judgments = judged({"q": {"a": 3.0, "b": 1.0, "z": 0.0}})
    run = run_of({"q": ["b", "x", "a", "z"]})
    assert parse_measure("RBP").per_query(run, judgments)[0] == pytest.approx(0.2 * (1 + 0.8**2))
    half = parse_measure("RBP(p=0.5, rel=2)").per_query(run, judgments)[0]
    assert half == pytest.approx(0.5 * 0.5**2)
    assert parse_measure("RBP(p=0.5)@2").per_query(run, judgments)[0] == pytest.approx(0.5)


def test_dcg_is_what_ndcg_divides():
    judgments = judged({"q": {"a": 3.0, "b": 1.0, "c": 2.0, "z": 0.0}})
    run = run_of({"q": ["b", "x", "a", "z", "c"]})
    assert parse_measure("DCG@3").per_query(run, judgments)[0] == pytest.approx(1 + 3 / 2)
    exponential = parse_measure("DCG(dcg='exp-log2')").per_query(run, judgments)[0]
    assert exponential == pytest.approx(1 + 7 / 2 + 3 / math.log2(6))


def test_a_grade_above_the_scale_of_err_is_refused():
    judgments = judged({"q": {"a": 5.0}})
    with pytest.raises(InputError, match=r"grade 5; max_rel is .* as ERR\(max_rel=5\)"):
        parse_measure("ERR@10").per_query(run_of({"q": ["a"]}), judgments)
    wide = parse_measure("ERR(max_rel=5)@10").per_query(run_of({"q": ["a"]}), judgments)
    assert wide[0] == pytest.approx(31 / 32)


def test_ndcg_by_hand():
    judgments = judged({"q": {"a": 3.0, "b": 1.0, "c": 2.0, "z": 0.0}})
    run = run_of({"q": ["b", "x", "a", "z", "c"]})
    ideal = 3 / 1 + 2 / math.log2(3) + 1 / 2
    assert NDCG(3).per_query(run, judgments)[0] == pytest.approx((1 + 3 / 2) / ideal)
    exponential = 7 / 1 + 3 / math.log2(3) + 1 / 2
    assert NDCG(3, "exp-log2").per_query(run, judgments)[0] == pytest.approx(
        (1 + 7 / 2) / exponential
    )


def test_binary_measures_by_hand():
    judgments = judged({"q": {"a": 2.0, "b": 1.0, "c": 1.0, "z": 0.0}})
    run = run_of({"q": ["z", "b", "x", "a"]})
    assert ReciprocalRank().per_query(run, judgments)[0] == pytest.approx(1 / 2)
    assert ReciprocalRank(rel=2).per_query(run, judgments)[0] == pytest.approx(1 / 4)
    assert ReciprocalRank(1).per_query(run, judgments)[0] == 0.0
    assert Recall(4).per_query(run, judgments)[0] == pytest.approx(2 / 3)
    assert Recall(4, rel=2).per_query(run, judgments)[0] == 1.0
    assert Precision(2).per_query(run, judgments)[0] == pytest.approx(1 / 2)
    # Six of the ten ranks are empty, and count.
    assert Precision(10).per_query(run, judgments)[0] == pytest.approx(2 / 10)


def test_a_grade_below_one_is_relevant_unless_a_level_is_given():
    judgments = judged({"q": {"a": 0.1, "b": 1.0, "z": 0.0}})
    run = run_of({"q": ["a", "z", "b"]})
    assert Precision(1).per_query(run, judgments)[0] == 1.0
    assert Precision(1, rel=1).per_query(run, judgments)[0] == 0.0
    assert Precision(1, rel=0.1).per_query(run, judgments)[0] == 1.0
    assert Recall(3).per_query(run, judgments)[0] == 1.0


@pytest.mark.parametrize("written", ["nDCG@10", "nDCG(dcg='exp-log2')", "RR", "R@10", "P@10"])
def test_a_query_without_a_relevant_document_is_undefined(written):
    judgments = judged({"none": {"a": 0.0}, "missed": {"b": 2.0}, "found": {"a": 2.0}})
    run = run_of({"none": ["a"], "unjudged": ["a"], "missed": ["a"], "found": ["a"]})
    values = parse_measure(written).per_query(run, judgments)
    assert np.isnan(values).tolist() == [True, True, False, False]
    assert values[2] == 0.0
    assert values[3] > 0.0


@pytest.mark.parametrize("written", ["nDCG@10", "RR", "R@10", "P@10"])
def test_a_run_without_queries_or_documents_has_values(written):
    measure = parse_measure(written)
    assert measure.per_query(run_of({}), judged({"q": {"a": 1.0}})).shape == (0,)
    empty = measure.per_query(run_of({"q": [], "p": []}), judged({"q": {"a": 1.0}}))
    assert empty[0] == 0.0
    assert np.isnan(empty[1])


@given(st.permutations(list("abcdefgh")), st.integers(1, 9), st.integers(0, 7))
def test_lifting_a_better_document_never_lowers_ndcg(ranking, cutoff, at):
    judgments = judged({"q": {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}})
    better = sorted(ranking[: at + 1], key=lambda d: -judgments.grades["q"].get(d, 0.0))
    before = NDCG(cutoff).per_query(run_of({"q": ranking}), judgments)[0]
    after = NDCG(cutoff).per_query(run_of({"q": better + ranking[at + 1 :]}), judgments)[0]
    assert 0.0 <= before <= after + 1e-12 <= 1.0 + 2e-12


def test_a_run_graded_once_gives_every_measure_up_to_its_depth():
    run, judgments = random_case(3)
    once = graded(run, judgments, 20)
    for measure in (NDCG(10), NDCG(20, "exp-log2"), ReciprocalRank(5), Recall(20), Precision(7)):
        np.testing.assert_array_equal(measure.of(once), measure.per_query(run, judgments))


def test_a_document_ranked_twice_is_refused():
    run = run_of({"shoes": ["a", "b", "a"]})
    with pytest.raises(InputError, match="'shoes' ranks document 'a' more than once"):
        NDCG(10).per_query(run, judged({"shoes": {"a": 1.0}}))


def test_a_query_ranked_twice_is_refused():
    with pytest.raises(InputError, match="a query more than once"):
        NDCG(10).per_query(Run(("q", "q"), (("a",), ("a",))), judged({"q": {"a": 1.0}}))


@pytest.mark.parametrize(
    "written",
    [
        "nDCG@10",
        "nDCG",
        "nDCG(dcg='exp-log2')@10",
        "RR",
        "RR@10",
        "RR(rel=2)@10",
        "R@1000",
        "P@5",
        "P(rel=2)@10",
        "P(rel=0.01)@10",
        "DCG@5",
        "AP(rel=2)@100",
        "RBP(p=0.5)@10",
        "IPrec(rel=2)@0.25",
        "SetP(relative=True)",
        "Compat(p=0.9, normalize=False)",
        "nDCG(gains={1: 5, 4: 2}, judged_only=True)@10",
        "NumRelRet",
        "ERR(max_rel=3)@20",
    ],
)
def test_a_measure_prints_as_it_is_written(written):
    measure = parse_measure(written)
    assert str(measure) == written
    assert parse_measure(str(measure)) == measure
    assert len({measure, parse_measure(written)}) == 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("ndcg@10", NDCG(10)),
        (" nDCG @ 10 ", NDCG(10)),
        ("nDCG(dcg=exp-log2)@5", NDCG(5, "exp-log2")),
        ('nDCG(dcg="log2")', NDCG()),
        ("MRR", ReciprocalRank()),
        ("MRR@10", ReciprocalRank(10)),
        ("Recall@100", Recall(100)),
        ("precision( rel = 2.0 )@3", Precision(3, 2)),
        ("MAP(rel=2)", AveragePrecision(rel=2)),
        ("BPref", BinaryPreference()),
        ("ndcg(judged_only=true, dcg='exp-log2')@5", NDCG(5, "exp-log2", judged_only=True)),
    ],
)
def test_other_ways_to_write_a_measure(written, expected):
    assert parse_measure(written) == expected
    assert str(parse_measure(written)) == str(expected)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("nDGC@10", "no measure 'nDGC'; did you mean 'nDCG'.*accepted: .*RR"),
        ("", "measure '' is not understood; write it as nDCG@10"),
        ("nDCG(@10", "not understood"),
        ("nDCG@ten", "cutoff 'ten' is not a whole number of 1 or more"),
        ("nDCG@-1", "cutoff '-1' is not a whole number"),
        ("nDCG@1.5", "cutoff '1.5' is not"),
        ("nDCG@", "cutoff '' is not"),
        ("nDCG@0", "nDCG@0: a cutoff is 1 or more"),
        ("R", "'R' needs a cutoff, such as R@10"),
        ("nDCG(rel=1)@10", "no setting 'rel'; accepted: dcg"),
        ("Sucess@5", "no measure 'Sucess'; did you mean 'Success'"),
        ("IPrec", "'IPrec' needs a recall, such as IPrec@0.1"),
        ("IPrec@3", "a recall is from 0 to 1"),
        ("Bpref@10", "Bpref has no cutoff"),
        ("RBP(p=1)", "above 0 and below 1"),
        ("AP(judged_only=2)", "judged_only is '2'; accepted: True, False"),
        ("nDCG(dcg='exp')@10", "dcg is 'exp'; did you mean 'exp-log2'"),
        ("P(rel=two)@10", "rel is 'two', not a number"),
        ("P(rel=0)@10", "above 0"),
        ("P(rel=nan)@10", "above 0"),
    ],
)
def test_what_is_not_understood_is_named(written, message):
    with pytest.raises(InputError, match=message):
        parse_measure(written)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("ndgc@10", "did you mean 'nDCG'"),
        ("SetF(beta=-1)", "beta is 0 or more"),
        ("SetF(beta=nan)", "beta is 0 or more"),
        ("ERR(max_rel=nan)", "highest grade of the scale is above 0"),
        ("ERR(max_rel=2000)", "at most 500"),
        ("nDCG(gains={1: -3})@10", "a gain is 0 or more"),
        ("nDCG(dcg='exp-log2', gains={1: 9999})@10", "at most 500 as a power of 2"),
        ("P(rel=2, rel=3)@5", "rel is given twice"),
    ],
)
def test_settings_that_give_no_number_are_refused(written, message):
    with pytest.raises(InputError, match=message):
        parse_measure(written)


def test_a_large_cutoff_is_read_back():
    measure = parse_measure("nDCG@100000000000000000000")
    assert parse_measure(str(measure)) == measure
