"""Counts of a moment, by hand and against counting one event after the other."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
from small_log import COUNTERS, DAY, Reference, random_log, values_of, write_log

from cascade.behaviour import Counter
from cascade.errors import InputError, NotFoundError
from cascade.events.counting import counted
from cascade.events.tables import EventLog

AT = 1_700_000_000.0
CLICKS = Counter("document", "click")


def table_of(found) -> dict[tuple, float]:
    names = [part for part in (found.texts, found.names) if part is not None]
    return dict(zip(zip(*names, strict=True), found.values.tolist(), strict=True))


def test_a_count_decays_within_its_window(tmp_path):
    events = [
        (None, "click", "a", AT - 7 * DAY),
        (None, "click", "a", AT - 14 * DAY),
        (None, "click", "a", AT - 30 * DAY),
        (None, "click", "a", AT - 30 * DAY - 1),
    ]
    counter = Counter("document", "click", 30, 7)
    found = counted(write_log(tmp_path, [], events), [counter, CLICKS], AT, {})
    # The edge of the window belongs to it.
    assert table_of(found[counter]) == {("a",): pytest.approx(0.5 + 0.25 + 0.5 ** (30 / 7))}
    assert table_of(found[CLICKS]) == {("a",): 4.0}


def test_what_happens_at_the_moment_is_not_before_it(tmp_path):
    events = [(None, "click", doc, at) for doc, at in (("a", AT), ("b", np.nextafter(AT, 0)))]
    assert table_of(counted(write_log(tmp_path, [], events), [CLICKS], AT, {})[CLICKS]) == {
        ("b",): 1.0
    }


def test_texts_that_mean_the_same_are_counted_together(tmp_path):
    searches = [("q1", "Straße  1", AT - 9, None, ["a"]), ("q2", "strasse 1", AT - 9, None, ["a"])]
    by_query, by_pair = Counter("query", "impression"), Counter("pair", "impression")
    found = counted(write_log(tmp_path, searches, []), [by_query, by_pair], AT, {})
    assert table_of(found[by_query]) == {("strasse 1",): 2.0}
    assert table_of(found[by_pair]) == {("strasse 1", "a"): 2.0}
    assert found[by_query].names is None


@pytest.mark.parametrize("seed", [1, 2])
def test_counts_are_those_of_one_event_after_the_other(tmp_path, seed):
    searches, events, field = random_log(seed)
    log, reference = write_log(tmp_path, searches, events), Reference(searches, events, field)
    at = searches[7][2] + 365 * DAY
    found = counted(log, COUNTERS, at, {"seller": values_of(field)})
    assert list(found) == list(COUNTERS)
    for counter in COUNTERS:
        expected = {key: value for key, value in reference.tally(counter, at).items() if value}
        assert table_of(found[counter]) == pytest.approx(expected, rel=1e-12), counter.name


def test_a_log_in_which_nothing_happened_has_no_counts(tmp_path):
    found = counted(write_log(tmp_path, [], []), COUNTERS, AT, {"seller": values_of({"a": "x"})})
    assert {len(each.values) for each in found.values()} == {0}
    assert counted(EventLog(tmp_path), [], AT, {}) == {}


@pytest.mark.parametrize(
    ("counter", "groups", "said"),
    [
        (dataclasses.replace(CLICKS, action="clicks"), {}, "did you mean 'click'"),
        (dataclasses.replace(CLICKS, by="doc"), {}, "accepted: document"),
        (dataclasses.replace(CLICKS, window_days=0), {}, "more than 0"),
        (dataclasses.replace(CLICKS, half_life_days=math.nan), {}, "more than 0"),
        (dataclasses.replace(CLICKS, field="seller"), {}, "names the keyword field"),
        (Counter("group", "click"), {}, "names the keyword field"),
        (Counter("group", "click", field="seller"), {}, "'seller' are not given"),
        (CLICKS, {"seller": pa.table({"doc_id": ["a", "a"], "value": ["x", "y"]})}, "at most"),
        (CLICKS, {"seller": pa.table({"doc_id": ["a"]})}, "columns doc_id and value"),
    ],
)
def test_what_cannot_be_counted_is_refused(tmp_path, counter, groups, said):
    with pytest.raises(InputError, match=said):
        counted(write_log(tmp_path, [], []), [counter], AT, groups)


def test_a_moment_and_a_log_are_needed(tmp_path):
    with pytest.raises(InputError, match="as_of nan"):
        counted(EventLog(tmp_path), [CLICKS], math.nan, {})
    with pytest.raises(NotFoundError, match="no event log"):
        counted(EventLog(tmp_path), [CLICKS], AT, {})
