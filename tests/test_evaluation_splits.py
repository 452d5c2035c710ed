"""Head, torso and tail by traffic and by length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.errors import InputError
from cascade.evaluation import by_frequency, by_length


def test_each_third_of_the_traffic_makes_a_bucket():
    frequency = {"rare": 1.0, "top": 30.0, "b": 10.0, "a": 10.0, "c": 10.0, "other": 29.0}
    split = by_frequency(frequency)
    # 90 requests: "top" alone is a third, "other" and the first of the equal ones pass 60.
    assert split.buckets == {
        "head": ("top",),
        "torso": ("other", "a"),
        "tail": ("b", "c", "rare"),
    }
    assert split.rule == "thirds of traffic"


def test_one_query_with_nearly_all_traffic_is_the_head():
    split = by_frequency({"x": 98.0, "y": 1.0, "z": 1.0})
    assert split.buckets == {"head": ("x",), "torso": (), "tail": ("y", "z")}


def test_without_traffic_everything_is_tail():
    assert by_frequency({"b": 0.0, "a": 0.0}).buckets["tail"] == ("a", "b")
    assert set(by_frequency({}).buckets.values()) == {()}


@given(st.dictionaries(st.text(max_size=4), st.floats(0.0, 1e12), max_size=30))
def test_every_query_is_in_one_bucket_and_the_head_is_the_most_frequent(frequency):
    buckets = by_frequency(frequency).buckets
    together = [query for bucket in buckets.values() for query in bucket]
    assert sorted(together) == sorted(frequency)
    counts = [frequency[query] for query in together]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("count", [-1.0, float("nan"), float("inf")])
def test_a_frequency_that_is_no_count_is_refused(count):
    with pytest.raises(InputError, match=r"query 'shoes' has the frequency .* 0 or more"):
        by_frequency({"shoes": count})


def test_short_queries_are_the_head():
    texts = {
        "1": "shoes",
        "2": "red  shoes ",
        "3": "red running shoes",
        "4": "red running shoes men",
        "5": "red running shoes for men",
        "0": "",
    }
    split = by_length(texts)
    assert split.buckets == {"head": ("1", "2", "0"), "torso": ("3", "4"), "tail": ("5",)}
    assert split.rule == "words in the query: head 1-2, torso 3-4, tail 5 or more"
