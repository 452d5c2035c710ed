"""The inputs of a policy, by hand, and what happens to absent values and unknown names."""

import numpy as np
import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.business.inputs import PolicyInputs, read_inputs, relevance_scores, standardised
from cascade.business.objectives import NewSeller, Number
from cascade.candidates import Query, concatenated

DOCUMENTS = MemoryDocuments(
    {"price": "number", "age": "number", "added": "date", "seller": "keyword"},
    [
        {"id": "a", "price": 10.0, "age": 5.0},
        {"id": "b", "price": 20.0, "age": 90.0},
        {"id": "c", "price": 30.0},
        {"id": "d", "age": 400.0},
    ],
)
OBJECTIVES = (
    NewSeller(name="seller age", field="age", days=60),
    Number(name="price", field="price"),
)


def listing(rows, surface=None, scores=None, heads=None):
    batch = candidates(
        DOCUMENTS,
        (Query("q", "ring", surface=surface), rows),
        columns={} if heads is None else {"p_buy": heads},
    )
    return batch if scores is None else batch.with_scores(np.array(scores, dtype=np.float32))


def read(names):
    problems = []
    return read_inputs(names, OBJECTIVES, DOCUMENTS.schema, "business.policy.inputs", problems), (
        problems
    )


def values(name, batch):
    inputs, problems = read([name])
    assert problems == []
    return inputs.matrix(batch)[:, 0].tolist()


class TestValues:
    def test_score_is_standardised_in_the_listing(self):
        # Relevance 1, 1/2, 0: mean 1/2, standard deviation sqrt(1/6).
        found = values("score", listing([0, 1, 2], scores=[9, 6, 3]))
        assert found == pytest.approx([0.5 * 6**0.5, 0, -0.5 * 6**0.5])

    def test_scores_of_two_stages_never_rise(self):
        found = relevance_scores(listing([0, 1, 2, 3], scores=[0.2, 0.1, 7.0, 6.5]))
        assert (np.diff(found) <= 0).all()
        assert found[0] > found[-1]

    def test_a_score_far_out_is_an_input_of_5_but_a_score_of_its_own(self):
        batch = listing([0] * 100, scores=[1000, *[0] * 99])
        assert relevance_scores(batch)[0] == pytest.approx(99**0.5)
        assert values("score", batch)[0] == 5

    def test_rank_percentile(self):
        assert values("rank_percentile", listing([0, 1, 2])) == pytest.approx([1, 0.5, 0])
        assert values("rank_percentile", listing([3])) == [1]

    def test_a_field_standardised_and_0_where_absent(self):
        # 10, 20, 30 and none: mean 20, standard deviation sqrt(200/3).
        found = values("z(price)", listing([0, 1, 2, 3]))
        assert found == pytest.approx([-(1.5**0.5), 0, 1.5**0.5, 0])

    def test_equal_values_deviate_by_0(self):
        assert values("z(price)", listing([1, 1, 1])) == [0, 0, 0]

    def test_a_head(self):
        found = values("head(p_buy)", listing([0, 1, 2], heads=[0.5, np.nan, np.inf]))
        assert found == [0.5, 0, 0]
        assert values("head(p_buy)", listing([0, 1])) == [0, 0]

    def test_objectives_by_name(self):
        assert values("seller age", listing([0, 1, 3])) == [1, 0, 0]
        assert values("price", listing([0, 1, 2, 3])) == [0, 0.5, 1, 0]

    def test_surface(self):
        assert values("surface(app)", listing([0, 1], surface="app")) == [1, 1]
        assert values("surface(app)", listing([0, 1], surface="web")) == [0, 0]
        assert values("surface(app)", listing([0, 1])) == [0, 0]

    def test_several_listings_are_as_each_alone(self):
        every = ["score", "rank_percentile", "z(price)", "head(p_buy)", "price", "surface(web)"]
        inputs, _ = read(every)
        parts = [
            listing([0, 1, 2, 3], "web", heads=[0.1, 0.2, 0.3, 0.4]),
            listing([], "web", heads=[]),
            listing([2, 0], None, heads=[0.3, 0.1]),
            listing([-1], "web", heads=[0.0]),
        ]
        together = inputs.matrix(concatenated(parts))
        assert together == pytest.approx(np.concatenate([inputs.matrix(part) for part in parts]))
        assert np.isfinite(together).all()
        assert together.dtype == np.float32

    def test_extreme_numbers_stay_finite(self):
        batch = listing([0, 1, 2])
        found = standardised(np.array([1e300, -np.inf, np.nan]), batch)
        assert np.isfinite(found).all()


class TestNames:
    def test_all_of_them(self):
        inputs, problems = read(["score", "z(added)", "seller age"])
        assert problems == []
        assert isinstance(inputs, PolicyInputs)
        assert inputs.names == ("score", "z(added)", "seller age")

    @pytest.mark.parametrize(
        ("names", "problem"),
        [
            (["scor"], "[0]: 'scor' is no input; did you mean 'score'?"),
            (["score", "seller_age"], "[1]: 'seller_age' is no input; did you mean 'seller age'?"),
            (["z(prize)"], "[0]: 'prize' is no number or date field of the schema; did you mean"),
            (["z(seller)"], "[0]: 'seller' is no number or date field of the schema;"),
            (["head()"], "[0]: 'head()' is no input;"),
            ([3], "[0]: is 3; accepted is a name"),
            (["score", "score"], "[1]: 'score' is named twice"),
            ([], ": is []; accepted is a list of names"),
            ("score", ": is 'score'; accepted is a list of names"),
        ],
    )
    def test_unknown_ones_are_refused_with_the_nearest(self, names, problem):
        inputs, problems = read(names)
        assert inputs is None
        assert problems[0].startswith("business.policy.inputs" + problem)

    def test_the_fingerprint_follows_the_settings_of_objectives(self):
        mine, _ = read(["score", "seller age"])
        assert mine.definitions() == [
            {"input": "score"},
            {
                "input": "seller age",
                "kind": "new_seller",
                "name": "seller age",
                "field": "age",
                "days": 60,
            },
        ]
        others = (NewSeller(name="seller age", field="age", days=61),)
        theirs = read_inputs(["score", "seller age"], others, DOCUMENTS.schema, "p", [])
        again, _ = read(["score", "seller age"])
        assert mine.fingerprint == again.fingerprint != theirs.fingerprint
