"""The pace of a job: its rate over the last seconds, and what is left."""

import pytest

from cascade.workflows.progress import Pace


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_the_rate_is_that_of_the_last_seconds():
    clock = Clock()
    pace = Pace(window_s=10, clock=clock)
    pace.tell(0, 1_000)
    assert (pace.rate, pace.left_s) == (0.0, None)
    for second in range(1, 31):
        clock.now = 100.0 + second
        pace.tell(100 * min(second, 10) + 10 * max(second - 10, 0), 2_000)
    # 100 a second for 10 s, then 10 a second: the last 10 s know only the second.
    assert pace.rate == pytest.approx(10.0)
    assert pace.left_s == pytest.approx((2_000 - 1_200) / 10)


def test_a_job_that_stands_still_slows_down():
    clock = Clock()
    pace = Pace(clock=clock)
    pace.tell(0, None)
    clock.now += 1
    pace.tell(50, None)
    clock.now += 9
    assert pace.rate == pytest.approx(5.0)
    assert pace.left_s is None


def test_more_than_was_expected_leaves_nothing():
    clock = Clock()
    pace = Pace(clock=clock)
    pace.tell(0, 10)
    clock.now += 1
    pace.tell(20, 10)
    assert pace.left_s == 0


def test_a_step_that_begins_anew_has_the_pace_of_its_new_run():
    clock = Clock()
    pace = Pace(clock=clock)
    for done in (0, 200, 0, 40):
        pace.tell(done, 200)
        clock.now += 2
    assert pace.rate == pytest.approx(40 / 4)
    assert pace.left_s == pytest.approx(160 / 10)
