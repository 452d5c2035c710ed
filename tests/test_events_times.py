"""Moments: what loggers write, in seconds since 1970."""

import numpy as np
import pytest

from cascade.events.times import seconds

T = 1_700_000_000.0


@pytest.mark.parametrize(
    "given",
    [
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:13:20",
        "2023-11-14 22:13:20",
        "2023-11-14T23:13:20+01:00",
        "2023-11-14T17:13:20-0500",
        1_700_000_000,
        1_700_000_000.0,
        1_700_000_000_000,
        "1700000000",
        "1700000000000",
    ],
)
def test_one_moment_however_it_is_written(given):
    # Alone, where a whole column may be read at once, and beside one that forbids it.
    assert seconds([given]).tolist() == [T]
    assert seconds([given, None])[0] == T


def test_milliseconds_are_kept():
    assert seconds(["2023-11-14T22:13:20.125Z"]).tolist() == [T + 0.125]
    assert seconds([1_700_000_000_125]).tolist() == [T + 0.125]


@pytest.mark.parametrize(
    "given", [None, "", "yesterday", "9999-01-01T00:00:00Z", 0, -5, "nan", 1e300, 1e14]
)
def test_what_is_no_moment_of_a_log_is_nan(given):
    assert np.isnan(seconds([given])).all()
    assert np.isnan(seconds([given, 5])).tolist() == [True, False]
