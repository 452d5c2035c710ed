"""What Prometheus reads of the service, beside what its requests show."""

from cascade.indexing.following import FollowState
from cascade.pipeline import Trace
from cascade.service.metrics import Metrics


def lines(metrics):
    return [line for line in metrics.exposition().decode().splitlines() if not line.startswith("#")]


def test_it_says_how_far_an_index_of_others_is_followed():
    metrics = Metrics()
    state = FollowState("cups-7", "x", polled=995.5, reconciled=900.0, flipped="cups-8")
    metrics.followed("cups", state, now=1_000.0)
    found = lines(metrics)
    assert 'cascade_follow_lag_seconds{index="cups"} 4.5' in found
    assert 'cascade_follow_reconciled_timestamp_seconds{index="cups"} 900.0' in found
    assert 'cascade_follow_flipped{index="cups"} 1.0' in found
    metrics.followed("cups", FollowState("cups-8", "y", polled=1_000.0), now=1_000.0)
    assert 'cascade_follow_flipped{index="cups"} 0.0' in lines(metrics)


def test_it_counts_rows_that_were_left_out_because_they_were_deleted():
    metrics = Metrics()
    for deleted in (2, 0, 3):
        metrics.trace("shop", Trace(deleted=deleted))
    assert 'cascade_deleted_rows_total{cascade="shop"} 5.0' in lines(metrics)
