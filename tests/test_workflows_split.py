"""Divisions of queries: strict ones share no relevant document, timely ones test on the latest."""

import pytest

from cascade.config.stage_settings import SplitSettings
from cascade.errors import InputError
from cascade.judgments import Judgments
from cascade.workflows.split import divide_by_time, divide_judgments, divide_log, relevant

TEXTS = {f"q{i}": f"query {i}" for i in range(600)}
GRADES = {f"q{i}": {f"d{i % 150}": 1.0, f"d{(i * 7) % 150}": 0.0} for i in range(600)}
JUDGMENTS = Judgments(TEXTS, GRADES)


def test_a_strict_split_shares_no_relevant_document_with_the_test_queries():
    parts, dropped = divide_judgments(JUDGMENTS, SplitSettings(by="strict", test=0.3))
    tested = set().union(*(relevant(JUDGMENTS, q) for q in parts["test"]))
    for part in ("train", "validation"):
        assert len(parts[part]) > 20
        assert all(tested.isdisjoint(relevant(JUDGMENTS, q)) for q in parts[part])
    everything = [*dropped, *(q for part in parts.values() for q in part)]
    assert sorted(everything) == sorted(TEXTS)
    assert len(parts["test"]) > 20


def test_a_query_whose_relevant_documents_lie_on_both_sides_is_dropped():
    """Pairs of 2 of 40 documents: about 2 * 0.5 * 0.5 of them are mixed."""
    pairs = {f"{a}-{b}": {f"d{a}": 1.0, f"d{b}": 2.0} for a in range(40) for b in range(a)}
    judgments = Judgments({q: q for q in pairs}, pairs)
    parts, dropped = divide_judgments(judgments, SplitSettings(by="strict", test=0.5))
    test = {doc_id for q in parts["test"] for doc_id in pairs[q]}
    rest = {doc_id for p in ("train", "validation") for q in parts[p] for doc_id in pairs[q]}
    assert test.isdisjoint(rest)
    assert all(len(test & set(pairs[q])) == 1 for q in dropped)
    assert 0.3 < len(dropped) / len(pairs) < 0.6


def test_a_document_of_grade_0_is_not_shared():
    judgments = Judgments({"a": "x", "b": "y"}, {"a": {"d": 0.0}, "b": {"d": 1.0}})
    assert relevant(judgments, "a") == set()


def test_the_latest_queries_are_tested_on():
    times = {f"q{i}": float(100 - i) for i in range(100)}
    parts = divide_by_time(times, SplitSettings(validation=0.1, test=0.2))
    assert [len(parts[p]) for p in ("train", "validation", "test")] == [70, 10, 20]
    latest = [min(times[q] for q in parts["test"]), max(times[q] for q in parts["validation"])]
    assert latest[0] > latest[1] > max(times[q] for q in parts["train"])


def test_judgments_have_no_time_to_split_by():
    with pytest.raises(InputError, match="--clicks"):
        divide_judgments(JUDGMENTS, SplitSettings(by="time"))


def test_a_log_is_divided_by_when_each_text_was_asked_last():
    times = {f"cup {i}": float(i) for i in range(9)} | {"Cup  0": 100.0}
    parts, dropped = divide_log(times, {}, SplitSettings(by="time", validation=0.1, test=0.2))
    assert parts["test"] == ["cup 8", "cup 0", "Cup  0"]
    assert parts["validation"] == ["cup 7"]
    assert dropped == []


def test_a_strict_division_of_a_log_shares_no_document_that_was_acted_on():
    texts = [TEXTS[q] for q in TEXTS]
    wanted = {TEXTS[q]: relevant(JUDGMENTS, q) for q in TEXTS}
    times = dict.fromkeys(texts, 0.0)
    parts, _ = divide_log(times, wanted, SplitSettings(by="strict", test=0.3))
    tested = set().union(*(wanted[text] for text in parts["test"]))
    assert len(parts["test"]) > 20
    assert all(tested.isdisjoint(wanted[text]) for text in parts["train"])
