"""Judgments files: what is read, what is counted, and what is refused."""

import gzip
from pathlib import Path

import pytest

from cascade.errors import JudgmentsError
from cascade.judgments import JudgmentColumns, Judgments, read_judgments

WITH_ID = JudgmentColumns(query_id="query_id")
LABELS = {"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0}


@pytest.fixture
def read(tmp_path):
    """Write a file and read it."""

    def write_and_read(text, columns=WITH_ID, name="judgments.csv"):
        path = tmp_path / name
        data = text.encode() if isinstance(text, str) else text
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return read_judgments(path, columns)

    return write_and_read


def test_a_file_is_read_in_its_order(read):
    judgments = read(
        "query_id,query,doc_id,grade\nq2,red shoes,b,3\nq1,hat,a,0.5\nq2,red shoes,a,0"
    )
    assert judgments.query_ids == ("q2", "q1")
    assert judgments.texts == {"q2": "red shoes", "q1": "hat"}
    assert judgments.grades == {"q2": {"b": 3.0, "a": 0.0}, "q1": {"a": 0.5}}
    assert (len(judgments), judgments.skipped, judgments.conflicts) == (3, 0, 0)


def test_columns_stand_in_any_order_under_any_name_beside_others(read):
    columns = JudgmentColumns(query="q", doc_id="product", grade="stars")
    judgments = read("stars,note,product,q\n2,fine,p1,hat\n", columns)
    assert judgments.grades == {"hat": {"p1": 2.0}}


def test_without_an_id_the_text_is_the_id(read):
    judgments = read("query,doc_id,grade\nhat,a,1\nhat,b,2\n", JudgmentColumns())
    assert judgments.texts == {"hat": "hat"}
    assert judgments.grades == {"hat": {"a": 1.0, "b": 2.0}}


@pytest.mark.parametrize("name", ["j.csv", "j.csv.gz", "j.txt"])
def test_csv_has_quotes_and_may_be_packed(read, name):
    text = 'query_id,query,doc_id,grade\nq1,"12"" ruler, steel\nor wood",a,1\n'
    assert read(text, name=name).texts == {"q1": '12" ruler, steel\nor wood'}


@pytest.mark.parametrize("name", ["j.tsv", "j.tsv.gz"])
def test_tsv_has_no_quotes(read, name):
    text = 'query_id\tquery\tdoc_id\tgrade\nq1\t12" ruler\ta\t1\nq2\t"hat\tb\t2\nq3\tcap\tc\t1\n'
    judgments = read(text, name=name)
    assert judgments.texts == {"q1": '12" ruler', "q2": '"hat', "q3": "cap"}


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_text(read):
    text = "query_id,query,doc_id,grade\r\nq1,größe,a,1\r\n".encode("utf-8-sig")
    assert read(text).texts == {"q1": "größe"}


def test_an_empty_grade_is_skipped_and_counted(read):
    judgments = read("query_id,query,doc_id,grade\nq1,hat,a,\nq1,hat,b,2\nq2,cap,c,  \n")
    assert judgments.grades == {"q1": {"b": 2.0}}
    assert judgments.query_ids == ("q1",)
    assert judgments.skipped == 2


def test_the_last_grade_of_a_pair_holds_and_a_change_is_counted(read):
    lines = ["q1,hat,a,1", "q1,hat,a,3", "q1,hat,a,3", "q1,hat,b,2", "q1,hat,b,2"]
    judgments = read("query_id,query,doc_id,grade\n" + "\n".join(lines))
    assert judgments.grades == {"q1": {"a": 3.0, "b": 2.0}}
    assert judgments.conflicts == 1


def test_labels_are_mapped_to_grades(read):
    columns = JudgmentColumns(grades=LABELS)
    judgments = read("query,doc_id,grade\nhat,a,E\nhat,b, S \nhat,c,I\n", columns)
    assert judgments.grades == {"hat": {"a": 1.0, "b": 0.1, "c": 0.0}}


def test_an_unknown_label_is_named_with_its_line(read):
    columns = JudgmentColumns(grades={"Exact": 1.0, "Irrelevant": 0.0})
    with pytest.raises(JudgmentsError) as caught:
        read("query,doc_id,grade\nhat,a,Exact\nhat,b,Exakt\n", columns)
    message = str(caught.value)
    assert "line 3: grade 'Exakt'" in message
    assert "did you mean 'Exact'" in message
    assert "accepted: Exact, Irrelevant" in message


@pytest.mark.parametrize("grade", ["good", "-1", "nan", "inf", "1,5", "0x2"])
def test_a_grade_that_is_no_number_is_named_with_its_line(read, grade):
    with pytest.raises(JudgmentsError) as caught:
        read(f'query_id,query,doc_id,grade\nq1,"a\nb",a,1\nq1,"a\nb",b,"{grade}"\n')
    # A quoted text spans two lines, so the second judgment ends on the fifth.
    assert f"line 5: grade {grade!r} is not a number of 0 or more" in str(caught.value)
    assert "[judgments.grades] maps labels to numbers" in str(caught.value)


def test_a_missing_column_names_the_nearest(read):
    with pytest.raises(JudgmentsError) as caught:
        read("query_id,query,docid,grade\nq1,hat,a,1\n")
    message = str(caught.value)
    assert "no column 'doc_id'; did you mean 'docid'" in message
    assert "accepted: docid, grade, query, query_id" in message
    assert "[judgments] in the configuration names the columns" in message


def test_a_short_line_is_named(read):
    with pytest.raises(JudgmentsError, match="line 3: has 2 columns; the header has 4"):
        read("query_id,query,doc_id,grade\nq1,hat,a,1\nq1,hat\n")


def test_an_id_with_two_texts_is_named(read):
    with pytest.raises(JudgmentsError, match="line 3: query 'q1' has the text 'cap'"):
        read("query_id,query,doc_id,grade\nq1,hat,a,1\nq1,cap,b,1\n")


@pytest.mark.parametrize(
    "text", ["query_id,query,doc_id,grade\n", "query_id,query,doc_id,grade\nq,h,a,\n"]
)
def test_a_file_without_a_grade_is_refused(read, text):
    with pytest.raises(JudgmentsError, match="has no line with a grade"):
        read(text)


def test_an_empty_file_is_refused(read):
    with pytest.raises(JudgmentsError, match="no column 'query'; there are none"):
        read("")


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(JudgmentsError, match=r"cannot open .*nowhere\.csv: No such file"):
        read_judgments(Path("nowhere.csv"), WITH_ID)


def test_a_file_in_another_encoding_is_refused(read):
    with pytest.raises(JudgmentsError, match="cannot be read as UTF-8"):
        read("query_id,query,doc_id,grade\nq1,größe,a,1\n".encode("latin-1"))


def test_a_packed_file_that_is_cut_or_not_packed_is_refused(tmp_path):
    packed = gzip.compress(b"query_id,query,doc_id,grade\nq1,hat,a,1\n" * 50)
    for data in (packed[: len(packed) // 2], b"query_id,query,doc_id,grade\n"):
        path = tmp_path / "judgments.csv.gz"
        path.write_bytes(data)
        with pytest.raises(JudgmentsError, match="cannot be read"):
            read_judgments(path, WITH_ID)


def test_only_keeps_the_named_queries_and_the_counts():
    judgments = Judgments(
        {"a": "x", "b": "y", "c": "z"}, {"a": {"d": 1.0}, "b": {"e": 2.0}, "c": {}}, 4, 5
    )
    kept = judgments.only(["b", "a"])
    assert kept.query_ids == ("b", "a")
    assert kept.grades == {"a": {"d": 1.0}, "b": {"e": 2.0}}
    assert (kept.skipped, kept.conflicts, len(kept)) == (4, 5, 2)


def test_blank_lines_are_passed_over(tmp_path):
    path = tmp_path / "judgments.csv"
    path.write_text("query,doc_id,grade\n\nred shoes,a,1\n\n")
    assert read_judgments(path, JudgmentColumns()).grades == {"red shoes": {"a": 1.0}}


def test_a_gzipped_file_with_damaged_bytes_is_refused(tmp_path):
    lines = "".join(f"query {i},d{i * 7919 % 1000},{i % 3}\n" for i in range(2_000))
    content = bytearray(gzip.compress(f"query,doc_id,grade\n{lines}".encode()))
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path = tmp_path / "judgments.csv.gz"
    path.write_bytes(content)
    with pytest.raises(JudgmentsError):
        read_judgments(path, JudgmentColumns())


ASKED = JudgmentColumns(query_id="query_id", frequency="asked")
ASKED_HEADER = "query_id,query,doc_id,grade,asked\n"


def test_frequencies_are_read_by_query(read):
    judgments = read(ASKED_HEADER + "q1,hat,a,1,30\nq1,hat,b,0, 30.0\nq2,cap,a,2,0\n", ASKED)
    assert judgments.frequency == {"q1": 30.0, "q2": 0.0}
    assert judgments.only(["q2"]).frequency == {"q2": 0.0}


def test_without_a_column_there_are_no_frequencies(read):
    assert read(ASKED_HEADER + "q1,hat,a,1,30\n").frequency == {}


@pytest.mark.parametrize("asked", ["often", "-1", "nan", "inf", ""])
def test_a_frequency_that_is_no_number_is_named_with_its_line(read, asked):
    message = f"line 3: frequency '{asked}' is not a number of 0 or more"
    with pytest.raises(JudgmentsError, match=message):
        read(ASKED_HEADER + f"q1,hat,a,1,30\nq2,cap,a,1,{asked}\n", ASKED)


def test_a_query_with_two_frequencies_is_named(read):
    with pytest.raises(JudgmentsError, match="'q1' has the frequency 31 and, above, 30"):
        read(ASKED_HEADER + "q1,hat,a,1,30\nq1,hat,b,1,31\n", ASKED)


def test_a_missing_frequency_column_is_named(read):
    with pytest.raises(JudgmentsError, match="no column 'asked'; accepted: doc_id, grade, query"):
        read("query_id,query,doc_id,grade\nq1,hat,a,1\n", ASKED)
