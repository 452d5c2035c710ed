"""Training data: the rows are those of serving, and files say what is wrong with them."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cascade.business import build_business
from cascade.candidates import Query
from cascade.errors import JudgmentsError
from cascade.features import build_features
from cascade.judgments import Judgments
from cascade.training.dataset import Sampling, grades_of, retrieved_dataset, svmlight_dataset
from cascade.workflows.draws import asked_at
from tests.bookshop import Bookshop, open_bookshop

DEFINITIONS = [
    {"kind": "bm25", "name": "bm25_title", "field": "title"},
    {"kind": "zscore", "name": "zscore_price", "field": "price"},
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bookshop:
    return open_bookshop(tmp_path_factory.mktemp("books"))


def judgments(**grades: dict) -> Judgments:
    return Judgments({q: q.replace("_", " ") for q in grades}, grades)


def test_judged_rows_come_with_their_grades_and_samples_with_zero(shop):
    features = build_features(DEFINITIONS, shop.schema)
    found = shop.engine.retrieve([Query("river", "river")], 100).candidates.ids()
    given = judgments(river={found[0]: 3.0, found[5]: 1.0, "absent": 2.0})
    dataset = retrieved_dataset(shop.engine, features, given, Sampling(size=100, negatives=4))
    assert sorted(dataset.grades.tolist()) == [0, 0, 0, 0, 1, 3]
    assert dataset.counts == {"judged": 2, "sampled": 4, "unretrieved": 1}


def test_rows_have_the_features_that_serving_would_give_them(shop):
    """Above all those of listing scope, which must not be computed on the sample alone."""
    features = build_features(DEFINITIONS, shop.schema)
    listing = features.prepared(shop.engine.retrieve([Query("1", "river")], 100).candidates)
    served = {tuple(row) for row in np.nan_to_num(features.matrix(listing), nan=-9).tolist()}
    given = judgments(river={listing.ids()[3]: 1.0, listing.ids()[4]: 0.0})
    dataset = retrieved_dataset(shop.engine, features, given, Sampling(size=100, negatives=3))
    assert len(dataset) == 5
    assert {tuple(row) for row in np.nan_to_num(dataset.matrix, nan=-9).tolist()} <= served


class Shuffled:
    """Bring what another engine brings, the listing in another order."""

    def __init__(self, engine):
        self.engine = engine

    def retrieve(self, queries, size, asked):
        found = self.engine.retrieve(queries, size, asked)
        order = np.random.default_rng(1).permutation(len(found.candidates))
        by_listing = order[np.argsort(found.candidates.listing[order], kind="stable")]
        return replace(found, candidates=found.candidates.take(by_listing))


def test_the_rows_do_not_follow_the_order_that_an_engine_brings(shop):
    """Engines differ in the last digits of scores; models of the same documents must not."""
    features = build_features(DEFINITIONS, shop.schema)
    found = shop.engine.retrieve([Query("river", "river")], 100).candidates.ids()
    given = judgments(river={found[0]: 3.0, found[5]: 1.0}, silver_night={found[0]: 0.0})
    sampling = Sampling(size=100, negatives=4)
    dataset = retrieved_dataset(shop.engine, features, given, sampling)
    other = retrieved_dataset(Shuffled(shop.engine), features, given, sampling)
    assert other.matrix.tobytes() == dataset.matrix.tobytes()
    assert other.grades.tolist() == dataset.grades.tolist()
    assert other.offsets.tolist() == dataset.offsets.tolist()
    reseeded = retrieved_dataset(shop.engine, features, given, replace(sampling, seed=1))
    assert len(reseeded) == len(dataset)
    assert reseeded.matrix.tobytes() != dataset.matrix.tobytes()


def test_no_negatives_leave_the_judged_rows(shop):
    features = build_features(DEFINITIONS, shop.schema)
    found = shop.engine.retrieve([Query("1", "river")], 100).candidates.ids()
    given = judgments(river={found[0]: 1.0}, silver_night={found[0]: 0.0})
    dataset = retrieved_dataset(shop.engine, features, given, Sampling(size=100, negatives=0))
    assert np.diff(dataset.offsets).tolist()[0] == 1
    assert dataset.counts["sampled"] == 0


def test_grades_are_matched_by_id(shop):
    listing = shop.engine.retrieve([Query("a", "river"), Query("b", "silver")], 100).candidates
    ids = listing.ids()
    at = int(listing.offsets[1])
    given = judgments(a={ids[2]: 2.0}, b={ids[at]: 1.0, ids[2]: 3.0})
    grades = grades_of(listing, given)
    expected = {2: 2.0, at: 1.0}
    expected |= {i: 3.0 for i in range(at, len(ids)) if ids[i] == ids[2]}
    assert {int(i): float(grades[i]) for i in np.flatnonzero(np.isfinite(grades))} == expected


def test_listings_of_one_grade_teach_nothing(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text(
        "1 qid:a 0:1\n0 qid:a 0:2\n1 qid:b 0:3\n1 qid:b 0:4\n0 qid:c 0:5\n2 qid:c 0:6\n"
    )
    dataset = svmlight_dataset(path).informative()
    assert dataset.grades.tolist() == [1, 0, 0, 2]
    assert dataset.offsets.tolist() == [0, 2, 4]


def test_svmlight_rows_are_read_with_qid_comments_and_gaps(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text("2 qid:7 1:0.5 3:-1 # a comment\n\n0 qid:7\n1 qid:9 0:4\n")
    dataset = svmlight_dataset(path)
    assert dataset.matrix.tolist() == [[0, 0.5, 0, -1], [0, 0, 0, 0], [4, 0, 0, 0]]
    assert dataset.grades.tolist() == [2, 0, 1]
    assert dataset.offsets.tolist() == [0, 2, 3]


def test_group_sizes_may_lie_beside_the_file(tmp_path):
    with gzip.open(tmp_path / "rank.train.gz", "wt") as stream:
        stream.write("1 0:1\n0 0:2\n1 0:3\n")
    (tmp_path / "rank.train.query").write_text("2\n1\n")
    assert svmlight_dataset(tmp_path / "rank.train.gz").offsets.tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("text", "sizes", "message"),
    [
        ("1 qid:1 0:1\n1 qid:1 x:2\n", None, "line 2: not 'grade"),
        ("one 0:1\n", "1", "line 1"),
        ("1 -4:1\n", "1", "line 1.*below 0"),
        ("", None, "has no rows"),
        ("1 0:1\n", None, "no qid, and there is no rows.query"),
        ("1 0:1\n", "2", "adds up to 2 rows; .* has 1"),
        ("1 0:1\n", "two", "one group size a line"),
        ("1 qid:1 0:1\n1 0:1\n", None, "1 of 2 lines have a qid"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(tmp_path: Path, text, sizes, message):
    path = tmp_path / "rows"
    path.write_text(text)
    if sizes is not None:
        (tmp_path / "rows.query").write_text(sizes)
    with pytest.raises(JudgmentsError, match=message):
        svmlight_dataset(path)


def test_queries_are_asked_with_the_time_and_filters_of_serving(shop):
    definitions = [{"kind": "age", "name": "age_released", "field": "released"}]
    features = build_features(definitions, shop.schema)
    found = shop.engine.retrieve([Query("1", "river")], 100).candidates.ids()
    stocked = [i for i in found if next(b for b in shop.books if b["id"] == i)["stock"] >= 1]
    business = build_business(
        {"rules": [{"name": "r", "kind": "min_stock", "field": "stock", "at_least": 1}]},
        shop.schema,
    )
    ask = asked_at(1_700_000_000.0, business)
    given = judgments(river=dict.fromkeys(found, 1.0))
    dataset = retrieved_dataset(shop.engine, features, given, Sampling(size=100), ask)
    assert len(dataset) == len(stocked) < len(found)
    ages = dict(zip(sorted(stocked), dataset.matrix[:, 0], strict=True))  # by catalogue row
    # Book 64 was released on 2014-01-15; 2023-11-14 22:13:20 is 3590.926 days later.
    assert "b064" in stocked
    assert ages["b064"] == pytest.approx(3590.926, abs=0.01)
