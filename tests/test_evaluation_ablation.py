"""What is lost without a part: a planted part, and one that does nothing."""

import pytest

from cascade.evaluation import Bootstrap, losses
from cascade.judgments import Judgments
from cascade.measures import parse_measure
from cascade.protocols import Run

QUERIES = tuple(f"q{i}" for i in range(8))
JUDGMENTS = Judgments({q: q for q in QUERIES}, {q: {"a": 1.0} for q in QUERIES})
WHOLE = Run(QUERIES, (("a", "b", "c"),) * 8)


def test_the_part_that_is_missed_most_comes_first():
    without = {
        "kind:idle": WHOLE,
        "stage:trees": Run(QUERIES, (("b", "a", "c"),) * 8),
        "field:title": Run(QUERIES, (("b", "c", "a"),) * 8),
    }
    measures = [parse_measure("RR"), parse_measure("P@1")]
    found = losses(
        WHOLE, without, JUDGMENTS, measures, Bootstrap(200), {"kind:idle": 2, "field:title": 5}
    )
    assert [(loss.part, loss.features) for loss in found] == [
        ("field:title", 5),
        ("stage:trees", None),
        ("kind:idle", 2),
    ]
    assert [loss.delta["RR"].mean for loss in found] == pytest.approx([-2 / 3, -1 / 2, 0.0])
    assert found[1].delta["RR"].high == pytest.approx(-1 / 2)
    # All eight queries lose alike: 2 of the 200 drawn patterns at most, three parts a family.
    assert found[0].p["RR"].p < 0.05
    assert found[2].p["RR"].p == 1.0
    assert found[0].p["P@1"].holm == found[1].p["P@1"].holm
