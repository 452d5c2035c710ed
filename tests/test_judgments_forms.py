"""Judgments in the forms of others, against what those forms' own readers see."""

import gzip
import json

import ir_measures
import pytest

from cascade.errors import JudgmentsError
from cascade.judgments import (
    FORMATS,
    JudgmentColumns,
    Judgments,
    read_judgments,
    read_run,
    read_texts,
    write_qrels,
    write_run,
    write_texts,
    write_workbench,
)

JUDGED = Judgments(
    {"q1": "silver ring", "q2": "hat"}, {"q1": {"a": 3.0, "b": 0.0}, "q2": {"a": 1.0}}
)


def read(tmp_path, content, form, name="file.txt", **columns):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_judgments(path, JudgmentColumns(format=form, **columns))


def test_qrels_that_are_written_are_those_that_ir_measures_reads(tmp_path):
    path, texts = tmp_path / "qrels.txt", tmp_path / "texts.tsv"
    write_qrels(path, JUDGED)
    write_texts(texts, JUDGED)
    seen = {(q.query_id, q.doc_id, q.relevance) for q in ir_measures.read_trec_qrels(str(path))}
    assert seen == {("q1", "a", 3), ("q1", "b", 0), ("q2", "a", 1)}
    again = read_judgments(path, JudgmentColumns(format="trec", texts=texts))
    assert (again.texts, again.grades) == (JUDGED.texts, JUDGED.grades)


def test_a_run_is_read_as_ir_measures_reads_it(tmp_path):
    path = tmp_path / "run.txt"
    write_run(path, {"q1": ("b", "a", "c"), "q2": ("a",)}, "bm25")
    seen = list(ir_measures.read_trec_run(str(path)))
    ranked = sorted((s for s in seen if s.query_id == "q1"), key=lambda s: -s.score)
    assert [s.doc_id for s in ranked] == ["b", "a", "c"]
    assert read_run(path) == {"q1": ("b", "a", "c"), "q2": ("a",)}


def test_the_order_of_a_run_is_that_of_its_scores(tmp_path):
    path = tmp_path / "run.txt"
    path.write_text("q Q0 low 1 0.5 x\nq Q0 high 2 2e1 x\nq Q0 tied2 4 1 x\nq Q0 tied1 3 1 x\n")
    assert read_run(path) == {"q": ("high", "tied1", "tied2", "low")}
    path.write_text("q Q0 a first 0.5 x\n")
    with pytest.raises(JudgmentsError, match="line 1: the rank or the score"):
        read_run(path)


def test_a_run_that_cannot_be_read_is_an_error(tmp_path):
    path = tmp_path / "run.txt.gz"
    whole = gzip.compress(b"q Q0 a 1 2.0 me\n" * 100)
    path.write_bytes(whole[:-9])
    with pytest.raises(JudgmentsError, match="cannot be read"):
        read_run(path)
    path.write_bytes(gzip.compress(b"q Q0 a 1 nan me\n"))
    with pytest.raises(JudgmentsError, match="line 1: the rank or the score is no number"):
        read_run(path)


def test_a_grade_below_0_is_0_and_the_last_grade_holds(tmp_path):
    judged = read(tmp_path, "1 0 a -2\n1 0 b 1\n\n1 0 b 2\n", "trec")
    assert judged.grades == {"1": {"a": 0.0, "b": 2.0}}
    assert (judged.texts, judged.conflicts) == ({"1": "1"}, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 0 a\n", "line 1: not 'query_id iteration"),
        ("1 0 a x\n", "line 1: grade 'x'"),
        ("1 0 a -x\n", "line 1: grade '-x'"),
        ("\n", "no line with a grade"),
    ],
)
def test_what_is_no_qrels_is_refused(tmp_path, content, message):
    with pytest.raises(JudgmentsError, match=message):
        read(tmp_path, content, "trec")


def test_topics_give_the_texts(tmp_path):
    path = tmp_path / "topics.gz"
    topics = (
        "<top>\n<num>1</num><title>\nFIRST  TEXT\n</title>\n</top>\n"
        "<top>\n<num> Number: 2\n<title> second\n\n<desc> Description:\nmore\n</top>\n"
    )
    path.write_bytes(gzip.compress(topics.encode()))
    assert read_texts(path) == {"1": "FIRST TEXT", "2": "second"}
    with pytest.raises(JudgmentsError, match="query '3' has no text"):
        read(tmp_path, "3 0 a 1\n", "trec", texts=path)


def test_a_form_cannot_hold_every_judgment(tmp_path):
    with pytest.raises(JudgmentsError, match="no single word"):
        write_qrels(tmp_path / "x", Judgments({"a b": "t"}, {"a b": {"d": 1.0}}))
    with pytest.raises(JudgmentsError, match=r"0.5 of 'd' is no whole number"):
        write_qrels(tmp_path / "x", Judgments({"a": "t"}, {"a": {"d": 0.5}}))


GRADES = {"red dress": {"a": 3.0, "b": 0.0}, "hat": {"c": 1.0}}
RATINGS = {"red dress": {"a": 3, "b": 0}, "hat": {"c": 1}}
QUEPID = {
    "ratings": {"queries": [{"query": q, "ratings": r} for q, r in RATINGS.items()]},
    "a case": {
        "case_name": "x",
        "queries": [{"query_text": q, "ratings": r} for q, r in RATINGS.items()],
    },
    "rre": {
        "id_field": "id",
        "queries": [
            {
                "placeholders": {"$query": "red dress"},
                "relevant_documents": {"3": ["a"], "0": ["b"]},
            },
            {"placeholders": {"$query": "hat"}, "relevant_documents": {"1": ["c"]}},
        ],
    },
    "a book": {
        "name": "x",
        "query_doc_pairs": [
            {
                "query_text": "red dress",
                "doc_id": "a",
                "judgements": [{"rating": 4.0}, {"rating": 2.0}, {"rating": None}],
            },
            {"query_text": "red dress", "doc_id": "b", "judgements": [{"rating": 0.0}]},
            {"query_text": "hat", "doc_id": "c", "judgements": [{"rating": 1}]},
            {"query_text": "hat", "doc_id": "d", "judgements": [{"rating": 3, "unrateable": True}]},
        ],
    },
}


@pytest.mark.parametrize("export", QUEPID)
def test_quepids_json_exports(tmp_path, export):
    judged = read(tmp_path, QUEPID[export], "quepid", "export.json")
    assert judged.grades == GRADES
    assert judged.texts == {"red dress": "red dress", "hat": "hat"}
    assert judged.skipped == (export == "a book")


@pytest.mark.parametrize("header", ["query,docid,rating", "Query Text,Doc ID,Rating"])
def test_quepids_csv_exports(tmp_path, header):
    rows = '"red dress",a,3\n"red dress",b,0\nhat,c,1\nhat,d,\n'
    judged = read(tmp_path, f"{header}\n{rows}", "quepid", "export.csv")
    assert (judged.grades, judged.skipped) == (GRADES, 1)


LISTED = [
    {"query": q, "ratings": [{"docId": d, "rating": f"{r}.000"} for d, r in rated.items()]}
    for q, rated in RATINGS.items()
]
WORKBENCH = {
    "put": {"name": "n", "type": "IMPORT_JUDGMENT", "judgmentRatings": LISTED},
    "by text": {"judgmentRatings": {one["query"]: one["ratings"] for one in LISTED}},
    "scores": {
        "judgmentScores": {
            q: [{"docId": d, "score": str(r)} for d, r in rated.items()]
            for q, rated in RATINGS.items()
        }
    },
    "got": {"hits": {"hits": [{"_id": "1", "_source": {"judgmentRatings": LISTED}}]}},
}


@pytest.mark.parametrize("shape", WORKBENCH)
def test_the_workbenchs_judgments(tmp_path, shape):
    assert read(tmp_path, WORKBENCH[shape], "workbench", "j.json").grades == GRADES


def test_what_is_written_for_the_workbench_reads_back(tmp_path):
    path = tmp_path / "j.json"
    write_workbench(path, JUDGED, "mine")
    body = json.loads(path.read_text())
    assert (body["type"], body["name"]) == ("IMPORT_JUDGMENT", "mine")
    assert body["judgmentRatings"][1] == {
        "query": "hat",
        "ratings": [{"docId": "a", "rating": "1"}],
    }
    again = read_judgments(path, JudgmentColumns(format="workbench"))
    assert again.grades == {"silver ring": JUDGED.grades["q1"], "hat": JUDGED.grades["q2"]}


@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        ("{", "quepid", "not valid JSON"),
        ("{}", "quepid", "neither 'queries' nor"),
        ('[{"ratings": {}}]', "quepid", "a query without a text"),
        ("{}", "workbench", "no 'judgmentRatings'"),
        ('[{"query": "x"}]', "workbench", "not of the form: KeyError 'ratings'"),
        ('[{"query": "x", "ratings": [{"docId": 1, "rating": "a"}]}]', "workbench", "rating 'a'"),
        ("[]", "workbench", "has no rating"),
    ],
)
def test_what_is_of_no_form_is_refused(tmp_path, content, form, message):
    with pytest.raises(JudgmentsError, match=message):
        read(tmp_path, content, form, "j.json")


def test_a_csv_of_other_columns_and_a_form_that_is_not_known_are_refused(tmp_path):
    with pytest.raises(JudgmentsError, match="accepted is query,docid,rating"):
        read(tmp_path, "a,b\n1,2\n", "quepid", "j.csv")
    with pytest.raises(JudgmentsError, match="did you mean 'trec'"):
        read(tmp_path, "x", "trek")
    assert FORMATS == ("columns", "trec", "quepid", "workbench")
