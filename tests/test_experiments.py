"""Live comparisons: shares of arms, mismatches, interleaved lists and what clicks prefer."""

import math

import numpy as np
import pytest
from scipy import stats

from cascade.errors import InputError
from cascade.experiments import (
    Experiment,
    balanced,
    balanced_credit,
    preference,
    sample_ratio,
    team_draft,
    team_draft_credit,
)


def rows(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_units_fall_into_arms_by_their_shares_and_stay_there():
    experiment = Experiment("page", {"old": 0.5, "new": 0.3})
    arms = [experiment.arm_of(f"visitor-{i}") for i in range(20_000)]
    assert arms == [experiment.arm_of(f"visitor-{i}") for i in range(20_000)]
    seen = {arm: arms.count(arm) / 20_000 for arm in ("old", "new", None)}
    # Four standard deviations of a share of 20,000 draws are 0.014.
    assert seen["old"] == pytest.approx(0.5, abs=0.015)
    assert seen["new"] == pytest.approx(0.3, abs=0.015)
    assert seen[None] == pytest.approx(0.2, abs=0.015)


def test_two_experiments_divide_independently():
    one, two = (Experiment(name, {"a": 0.5, "b": 0.5}) for name in ("one", "two"))
    units = [f"u{i}" for i in range(10_000)]
    same = sum(one.arm_of(u) == two.arm_of(u) for u in units) / len(units)
    assert same == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("shares", [{}, {"a": 0.0}, {"a": 0.7, "b": 0.6}, {"a": math.nan}])
def test_shares_that_divide_nothing_are_refused(shares):
    with pytest.raises(InputError, match="accepted are shares above 0"):
        Experiment("page", shares)


@pytest.mark.parametrize("arms", [2, 3, 4, 5])
def test_the_ratio_check_is_pearsons(arms):
    counts = {f"arm{i}": 1_000 + 17 * i * i for i in range(arms)}
    shares = dict.fromkeys(counts, 1 / arms)
    expected = stats.chisquare(list(counts.values())).pvalue
    assert sample_ratio(counts, shares).p_value == pytest.approx(expected, rel=1e-9)


def test_a_planted_mismatch_is_found_and_a_sound_division_is_not():
    assert sample_ratio({"a": 50_000, "b": 51_500}, {"a": 0.5, "b": 0.5}).mismatch
    assert not sample_ratio({"a": 50_000, "b": 50_300}, {"a": 0.5, "b": 0.5}).mismatch
    assert sample_ratio({}, {"a": 0.5, "b": 0.5}).p_value == 1.0
    with pytest.raises(InputError, match="'c' was counted"):
        sample_ratio({"c": 1}, {"a": 0.5, "b": 0.5})


def test_a_team_draft_holds_every_row_once_and_credits_who_picked_it():
    first, second = rows(1, 2, 3, 4, 5), rows(1, 3, 6, 2, 7)
    for seed in range(50):
        made = team_draft(first, second, f"q{seed}")
        assert sorted(made.rows.tolist()) == [1, 2, 3, 4, 5, 6, 7]
        assert made.rows[0] == 1
        assert made.teams[0] == -1
        for team, ranking in ((0, first), (1, second)):
            picked = made.rows[made.teams == team]
            at = [ranking.tolist().index(row) for row in picked if row in ranking]
            assert at == sorted(at)
            assert len(at) == len(picked)
        # After each pair of picks both teams have as many, until one ranking is used up.
        early = made.teams[1:5]
        assert [np.sum(early[: 2 * k] == 0) for k in (1, 2)] == [1, 2]


def test_team_drafts_are_fair_to_equal_rankings_in_another_order():
    forward = np.arange(10)
    backward = forward[::-1].copy()
    starts = [team_draft(forward, backward, f"q{i}").teams[0] for i in range(2_000)]
    # Four standard deviations of a fair coin tossed 2,000 times are 0.045.
    assert np.mean(starts) == pytest.approx(0.5, abs=0.045)


def test_balanced_lists_are_those_of_the_paper():
    """Joachims 2003, section 3.2: heads hold equally many of both, up to one."""
    first, second = rows(1, 2, 3, 4), rows(2, 5, 1, 6)
    seen = {tuple(balanced(first, second, f"q{i}").rows.tolist()) for i in range(40)}
    # The first leads: 1 2 | 2 5 | 3 1 | 4 6; the second leads: 2 1 | 5 2 | 1 3 | 6 4.
    assert seen == {(1, 2, 5, 3, 4, 6), (2, 1, 5, 3, 6, 4)}


def test_credits_by_hand():
    teams = np.array([0, 1, 1, 0], dtype=np.int8)
    assert team_draft_credit(teams, np.array([False, True, False, False])) == 1
    assert team_draft_credit(teams, np.array([True, False, False, True])) == -1
    assert team_draft_credit(teams, np.array([True, True, False, False])) == 0
    first, second, shown = rows(1, 2, 3), rows(3, 1, 2), rows(1, 3, 2)
    # The lowest click is on 3, at rank 1 of the second: of the heads of depth 1 it alone has it.
    assert balanced_credit(first, second, shown, np.array([False, True, False])) == 1
    assert balanced_credit(first, second, shown, np.array([True, False, False])) == -1
    assert balanced_credit(first, second, shown, np.zeros(3, dtype=bool)) == 0


def test_preference_counts_and_tests_like_scipy():
    found = preference([1] * 60 + [-1] * 35 + [0] * 25)
    assert (found.wins, found.ties, found.losses) == (60, 25, 35)
    assert found.delta == pytest.approx((60 + 12.5) / 120 - 0.5)
    assert found.p_value == pytest.approx(stats.binomtest(60, 95).pvalue, rel=1e-9)
    assert found.low < found.delta < found.high
    assert math.isnan(preference([]).delta)


def test_clicks_that_follow_the_better_ranking_are_found():
    """Planted: rows 0 to 4 are relevant and clicked half of the time, others never."""
    rng = np.random.default_rng(0)
    better, worse = np.arange(20), np.arange(20)[::-1].copy()
    credits = []
    for i in range(200):
        made = team_draft(worse, better, f"q{i}")
        clicked = (made.rows < 5) & (rng.random(20) < 0.5) & (np.arange(20) < 10)
        credits.append(team_draft_credit(made.teams, clicked))
    assert preference(credits).low > 0


@pytest.mark.parametrize("share", [0.0, -1.0, math.nan, math.inf])
def test_the_ratio_of_an_arm_without_a_share_is_refused(share):
    with pytest.raises(InputError, match="share of an arm is above 0"):
        sample_ratio({"a": 10, "b": 10}, {"a": 0.5, "b": share})


def test_lists_that_all_agree_leave_room_for_others():
    # The rule of three: of what was not seen in n draws, up to 3 / n may be there.
    found = preference([1] * 30)
    assert (found.delta, found.high) == (0.5, 0.5)
    assert found.low == pytest.approx(0.4)
    assert (preference([1]).low, preference([0, 0]).high) == (-0.5, 0.5)


def test_rankings_of_other_documents_and_none():
    none, some = np.array([], dtype=np.int64), np.array([4, 5])
    for make in (team_draft, balanced):
        assert make(none, none, "q").rows.tolist() == []
        assert make(none, some, "q").rows.tolist() == [4, 5]
        assert sorted(make(np.array([1, 2, 3]), some, "q").rows.tolist()) == [1, 2, 3, 4, 5]
    assert team_draft(some, none, "q").teams.tolist() == [0, 0]
