"""The pytest plugin: what its fixtures measure, and what a failing test says."""

import csv
import math
import subprocess
import sys
from pathlib import Path

import pytest
from small_shop import write_shop

from cascade.candidates import Query
from cascade.config import load_config
from cascade.errors import InputError
from cascade.filters import parse
from cascade.pipeline import PageRequest
from cascade.relevance.estimate import Estimate
from cascade.relevance.searches import Searches

TIMEOUT_S = 300


@pytest.fixture(scope="module")
def searches(demo_folder):
    found = Searches.open(next(iter(load_config(demo_folder / "cascade.toml").values())))
    yield found
    found.close()


@pytest.fixture(scope="module")
def few(demo_folder, tmp_path_factory):
    """The judgments of the first 12 queries, and the same by query."""
    path = tmp_path_factory.mktemp("few") / "few.tsv"
    with (demo_folder / "shop" / "judgments.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    chosen = list(dict.fromkeys(row["query_id"] for row in rows))[:12]
    kept = [row for row in rows if row["query_id"] in chosen]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), delimiter="\t")
        writer.writeheader()
        writer.writerows(kept)
    grades: dict[tuple[str, str], dict[str, float]] = {}
    for row in kept:
        by_doc = grades.setdefault((row["query_id"], row["query"]), {})
        by_doc[row["doc_id"]] = float(row["grade"])
    return path, grades


def pages(searches, grades, size):
    time = searches._time()
    for query_id, text in grades:
        request = PageRequest(size=size)
        yield query_id, text, searches.cascade.search(Query(query_id, text, time=time), request)


def test_an_estimate_is_a_number_that_says_its_interval():
    found = Estimate(0.4312, what="nDCG@10 of final", bounds=(0.3987, 0.463), queries=1800)
    assert found > 0.43
    assert not found >= 0.44
    assert (found.low, found.high) == (0.3987, 0.463)
    assert repr(found) == "nDCG@10 of final = 0.4312 [0.3987, 0.4630] over 1,800 queries"


def test_ndcg_is_that_of_the_pages_by_its_formula(searches, few):
    path, grades = few
    values = []
    for query_id, text, page in pages(searches, grades, 10):
        judged = grades[query_id, text]
        gains = [judged.get(item.id, 0.0) for item in page.items]
        ideal = sorted(judged.values(), reverse=True)[:10]
        best = sum(g / math.log2(i + 2) for i, g in enumerate(ideal))
        if best:
            values.append(sum(g / math.log2(i + 2) for i, g in enumerate(gains)) / best)
    found = searches.ndcg(path, 10, "final")
    assert found == pytest.approx(sum(values) / len(values), abs=1e-9)
    assert found.queries == len(values)
    assert found.low < found < found.high


def test_recall_counts_graded_documents_that_the_engine_brings(searches, few):
    path, grades = few
    engine, shares = searches.cascade.engine, []
    schema = searches.cascade.documents.schema
    for (query_id, text), judged in grades.items():
        relevant = {doc_id for doc_id, grade in judged.items() if grade > 0}
        if relevant:
            # The shop sells nothing that is out of stock: a rule keeps it from retrieval.
            query = Query(query_id, text, parse({"stock": {"gte": 1}}, schema))
            head = engine.retrieve([query], 50).candidates.ids()
            shares.append(len(relevant & set(head)) / len(relevant))
    assert searches.recall(path, 50) == pytest.approx(sum(shares) / len(shares), abs=1e-9)


def test_share_of_a_group_is_that_of_the_pages(searches, few):
    path, grades = few
    shares = []
    for _, _, page in pages(searches, grades, 10):
        young = [item for item in page.items if item.fields["seller_age_days"] < 400]
        shares.append(len(young) / len(page.items))
    found = searches.share({"seller_age_days": {"lt": 400}}, path, 10)
    assert found == pytest.approx(sum(shares) / len(shares), abs=1e-9)
    assert 0 < found < 1


def test_p95_lies_among_the_times(searches, few):
    found = searches.p95_ms(few[0], repeats=2)
    assert 0 < found.low <= found <= found.high
    assert found.unit == " ms"


def test_a_window_beyond_retrieval_is_refused(searches, few):
    with pytest.raises(InputError, match=r"the window is 5000, and retrieval.size is 1000"):
        searches.recall(few[0], 5000)
    with pytest.raises(InputError, match=r"no system 'finl'; did you mean 'final'"):
        searches.ndcg(few[0], 10, "finl")


def run(folder: Path, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_shop.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"]
    return subprocess.run(
        [*command, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_a_failing_assertion_shows_the_interval(tmp_path, demo_folder, few):
    test = f"def test_page(ndcg):\n    assert ndcg({str(few[0])!r}) >= 0.99\n"
    config = ("--cascade-config", str(demo_folder / "cascade.toml"))
    done = run(tmp_path, test, *config)
    assert done.returncode == 1
    assert "nDCG@10 of final = 0." in done.stdout
    assert "over 12 queries" in done.stdout
    # With no stages the final order is the engine's: the setting has reached the cascade.
    test = f"def test_page(ndcg):\n    f = {str(few[0])!r}\n"
    test += "    assert ndcg(f) == ndcg(f, system='bm25')\n"
    done = run(tmp_path, test, *config, "--cascade-set", "stages=[]")
    assert done.returncode == 0, done.stdout


def test_without_a_configuration_the_fixture_says_what_to_give(tmp_path):
    done = run(tmp_path, "def test_page(ndcg):\n    ndcg('x.tsv')\n")
    assert done.returncode == 1
    assert "give its configuration with --cascade-config FILE" in done.stdout
    assert run(tmp_path, "def test_nothing():\n    pass\n").returncode == 0


def test_a_server_that_does_not_answer_is_told_without_a_traceback(tmp_path):
    path = write_shop(tmp_path)
    manifest = tmp_path / "indexes" / "products-000001" / "generation.json"
    manifest.write_text(manifest.read_text().replace('"embedded"', '"solr"'))
    engine = '[engine]\nkind = "solr"\nurl = "http://127.0.0.1:1/solr"\n[index]'
    path.write_text(path.read_text().replace("[index]", engine))
    (tmp_path / "j.tsv").write_text("query_id\tquery\tdoc_id\tgrade\nq1\tcup\td001\t1\n")
    done = run(tmp_path, "def test_page(ndcg):\n    ndcg('j.tsv')\n", "--cascade-config", str(path))
    assert done.returncode == 1
    assert "http://127.0.0.1:1/solr" in done.stdout
    assert "Traceback" not in done.stdout
    assert "cascade/" not in done.stdout.replace(str(tmp_path), "")
    assert len(done.stdout.splitlines()) < 15, done.stdout


def test_what_cannot_be_measured_is_told_without_a_traceback(tmp_path):
    path = write_shop(tmp_path)
    test = "def test_page(ndcg):\n    ndcg('nothing.tsv')\n"
    (tmp_path / "nothing.tsv").write_text("one\ttwo\n1\t2\n")
    done = run(tmp_path, test, "--cascade-config", str(path))
    assert done.returncode == 1
    assert "nothing.tsv" in done.stdout
    assert len(done.stdout.splitlines()) < 12, done.stdout
