"""The report's form in JSON, on the terminal and as a page."""

import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from cascade.evaluation import (
    About,
    Bootstrap,
    Interval,
    Loss,
    PValue,
    Settings,
    Split,
    evaluate,
    random_run,
    to_json,
)
from cascade.evaluation.html import to_html
from cascade.evaluation.report import number, probability, span
from cascade.evaluation.terminal import render
from cascade.judgments import Judgments
from cascade.measures import parse_measure
from cascade.protocols import Run

MEASURES = ("nDCG@10", "nDCG(dcg='exp-log2')@10", "RR(rel=3)@10")
VOID = {"meta"}


def made(about=None, name="linear", queries=30):
    """A report in which stage:<name> puts each query's only good document first."""
    ids = tuple(f"d{i}" for i in range(12))
    query_ids = tuple(f"q{i}" for i in range(queries))
    # Query i's document stands at rank 2 to 11 of bm25; no grade reaches 3.
    grades = {q: {ids[i % 10 + 1]: 2.0} for i, q in enumerate(query_ids)}
    bm25 = Run(query_ids, (ids,) * queries)
    better = tuple(tuple(sorted(ids, key=lambda d, q=q: d not in grades[q])) for q in query_ids)
    systems = {
        "random": random_run(bm25),
        "bm25": bm25,
        f"stage:{name}": Run(query_ids, better),
        "final": Run(query_ids, better),
    }
    third = queries // 3
    grades[query_ids[-1]] = {"d1": 0.0}
    buckets = {
        "head": query_ids[:third],
        "torso": query_ids[third:-1],
        "tail": query_ids[-1:],
    }
    split = Split("thirds of traffic", buckets)
    settings = Settings(
        windows={name: 1000, "final": 5}, split=split, bootstrap=Bootstrap(resamples=200)
    )
    judgments = Judgments({q: q for q in query_ids}, grades, 4, 1)
    measures = [parse_measure(measure) for measure in MEASURES]
    return evaluate(systems, judgments, measures, settings, about or About(seconds=1.5))


@pytest.fixture(scope="module")
def report():
    return made(
        About(
            protocol="full",
            seconds=1.5,
            timings={"bm25": 0.5, "linear": 1.0},
            data={"judgments": "judgments.csv", "share": float("nan")},
            config={"stages": [{"name": "linear", "window": 1000}], "limit": float("inf")},
            notes=("Documents without a judgment count as grade 0.",),
        )
    )


def strictly(value):
    """Encode as JSON that has neither NaN nor Infinity."""
    return json.dumps(value, allow_nan=False)


def test_json_has_the_promised_form(report):
    document = json.loads(strictly(to_json(report)))
    assert document["protocol"] == "full"
    assert document["queries"] == 29
    assert list(document["systems"]) == ["random", "bm25", "stage:linear", "final"]
    final = document["systems"]["final"]
    assert set(final) == {*MEASURES, "delta", "p"}
    assert final["nDCG@10"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert set(final["delta"]) == set(MEASURES)
    assert final["delta"]["nDCG@10"]["low"] > 0
    assert document["systems"]["bm25"]["delta"]["nDCG@10"] == {"mean": 0, "low": 0, "high": 0}
    assert document["recall"] == {"100": 1.0, "1000": 1.0}
    assert document["seconds"] == 1.5


def test_json_has_what_else_the_report_knows(report):
    document = json.loads(strictly(to_json(report)))
    assert document["windows"]["final"] == {
        "window": 5,
        "source": "stage:linear",
        "recall": 1.0,
        "kept": 1.0,
        "top": {"10": 1.0, "50": 1.0, "100": 1.0},
    }
    assert document["buckets"]["head"]["queries"] == 10
    assert document["buckets"]["head"]["systems"]["final"]["nDCG@10"]["mean"] == 1.0
    assert document["excluded"]["undefined"] == {MEASURES[0]: 1, MEASURES[1]: 1, MEASURES[2]: 30}
    assert document["outcomes"]["wins"] == 29
    assert document["bootstrap"] == {"resamples": 200, "level": 0.95, "seed": 0}
    assert document["notes"] == ["Documents without a judgment count as grade 0."]


def with_losses(report):
    nothing = PValue(float("nan"), float("nan"), float("nan"))
    lost = {m: Interval(-0.125, -0.25, -0.0625) for m in MEASURES}
    parts = (
        Loss("kind:bm25", 3, lost, {m: PValue(0.001, 0.002, 0.002) for m in MEASURES}),
        Loss("stage:<linear>", None, lost, dict.fromkeys(MEASURES, nothing)),
    )
    return dataclasses.replace(report, losses=parts)


def test_lists_power_and_losses_stand_in_every_form(report):
    whole = with_losses(report)
    document = json.loads(strictly(to_json(whole)))
    assert document["losses"][0]["part"] == "kind:bm25"
    assert document["losses"][1]["p"]["nDCG@10"] == {"p": None, "holm": None, "fdr": None}
    best = document["outcomes"]["best"]
    assert len(best) == 20
    assert best[0]["delta"] == best[0]["system"] - best[0]["baseline"] > 0
    assert document["power"]["nDCG@10"]["queries"] == 29
    assert document["systems"]["final"]["p"]["nDCG@10"]["holm"] < 0.05
    per_query = document["per_query"]
    assert len(per_query["systems"]["final"]) == len(per_query["query_ids"]) == 30
    assert per_query["systems"]["final"][-1] is None
    shown = terminal(whole, 80)
    assert "kind:bm25" in shown
    assert "queries show a true difference of" in shown
    text = "".join(Page(to_html(whole)).text)
    for expected in ("stage:<linear>", "Best and worst queries", "p, Holm", "-0.1250"):
        assert expected in text
    assert f"{whole.power['nDCG@10'].needed:,}" in text


def test_what_is_no_number_is_null(report):
    document = json.loads(strictly(to_json(report)))
    nothing = {"mean": None, "low": None, "high": None}
    assert document["systems"]["final"]["RR(rel=3)@10"] == nothing
    assert document["buckets"]["tail"]["systems"]["final"]["nDCG@10"] == nothing
    assert document["data"] == {"judgments": "judgments.csv", "share": None}
    assert document["config"]["limit"] is None


def terminal(report, width):
    console = Console(file=io.StringIO(), width=width)
    render(report, console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100])
def test_the_terminal_shows_every_number_whole(report, width):
    text = terminal(report, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "protocol full, 29 queries, 1.5 s" in text
    rows = [line.split() for line in text.splitlines()]
    result = report.systems["final"]
    mean, delta = result.measures["nDCG@10"], result.delta["nDCG@10"]
    p = probability(result.p["nDCG@10"].holm)
    expected = f"final {number(mean.mean)} {span(mean)} {number(delta.mean, True)}"
    assert [*f"{expected} {span(delta, True)}".split(), "▲", p] in rows
    assert "29 queries better, 0 alike, 0 worse" in text
    assert "head (10)" in text
    assert "what linear is given" in text
    assert "Left out: 30 queries without a relevant document (RR(rel=3)@10)" in text
    assert "Left out: 4 lines without a grade" in text


def test_a_long_name_wraps_and_the_numbers_stay():
    text = terminal(made(name="a-name-that-is-much-too-long-for-its-column"), 80)
    assert "…" not in text
    assert re.search(r"1\.0000 +\[1\.0000, 1\.0000\]", text)


def test_names_are_not_read_as_markup():
    assert "stage:[red]x[/red]" in terminal(made(name="[red]x[/red]"), 120)


class Page(HTMLParser):
    """Collect tags, attributes and text; fail on a tag that is not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_needs_nothing_else(report):
    source = to_html(report)
    page = Page(source)
    assert page.tags[:2] == ["html", "head"]
    assert "script" not in page.tags
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "style"}
    for outside in ("http:", "https:", "//", "url(", "@import"):
        assert outside not in source
    for missing in ("nan", "None", "Undefined"):
        assert not re.search(rf"\b{missing}\b", source)


def test_the_page_draws_what_was_found(report):
    page = Page(to_html(report))
    plots = page.tags.count("svg") - len(report.systems)
    # A plot of means and one of differences a measure, buckets, outcomes and recall.
    assert plots == 2 * len(MEASURES) + 3
    named = [value for name, value in page.attributes if name == "aria-labelledby"]
    ids = {value for name, value in page.attributes if name == "id"}
    assert {part for value in named for part in value.split()} <= ids
    assert len(ids) == len([1 for name, _ in page.attributes if name == "id"])
    text = "".join(page.text)
    assert "+1.0000 [" not in text
    for measure, mean in report.systems["final"].measures.items():
        assert measure in text
        assert span(mean) in text
    assert "29 better" in text
    assert '"window": 1000' in text


def test_a_name_is_never_markup_on_the_page():
    page = Page(to_html(made(name="<script>alert(1)</script>")))
    assert "script" not in page.tags
    assert "stage:<script>alert(1)</script>" in "".join(page.text)


def test_the_baseline_alone_has_a_page():
    report = made(queries=3)
    alone = {"bm25": Run(("q0", "q1"), (("a", "b"), ("b", "a")))}
    judgments = Judgments({"q0": "q0", "q1": "q1"}, {"q0": {"a": 1.0}, "q1": {"a": 1.0}})
    measures = [parse_measure("nDCG@10")]
    report = evaluate(alone, judgments, measures, Settings(bootstrap=Bootstrap(10)))
    assert "bm25" in "".join(Page(to_html(report)).text)
    assert "bm25" in terminal(report, 80)


def test_a_report_of_the_pool_says_so(report):
    pool = dataclasses.replace(report, about=About(protocol="pool"))
    assert "the judged documents alone" in to_html(pool)
    assert to_json(pool)["protocol"] == "pool"
