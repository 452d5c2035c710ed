"""The page of a front: every named point, all within the drawing, and nothing from outside."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from cascade.evaluation.front_page import COLOURS, FrontPage, PagePoint, front_page, front_plots

MEASURES = {"relevance": "nDCG@10", "revenue": "mean(revenue)@10", "stock": "mean(stock)@10"}
NASTY = '<script>alert("1")</script> & more'


def point(a, b, c, *names, kept=True, preference="relevance 1"):
    return PagePoint(preference, {"relevance": a, "revenue": b, "stock": c}, kept, names)


def page(*points, measures=MEASURES, **changes):
    told = {
        "model": "shop-policy/7",
        "measures": measures,
        "requests": 1234,
        "base": {"relevance": 0.7, "revenue": 0.5, "stock": 0.4},
        "points": points,
        "hypervolume": 0.0241,
        "grid": 0.0117,
        "more": (0.0124, -0.0031, 0.0263),
        "blends": 90,
    }
    return FrontPage(**{**told, **changes})


POINTS = (
    point(0.7, 0.52, 0.41, "relevance"),
    point(0.69, 0.55, 0.40, "revenue", "growth", preference="relevance 0.5, revenue 0.5"),
    point(0.6, 0.7, 0.6),
    point(0.4, 0.4, 0.3, kept=False),
    point(0.695, 0.53, 0.45, "balanced", preference="stock 0.25, relevance 0.75"),
)


class Tags(HTMLParser):
    """Collect the tags of a page, their attributes, and what stands between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def drawings(text):
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def rows(text):
    cells = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    return [
        [re.sub("<.*?>", "", c) for c in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in cells
    ]


def test_each_named_point_stands_in_the_table_and_in_each_legend():
    text = front_page(page(*POINTS))
    told = {row[0]: row[1:] for row in rows(text)[1:]}
    assert list(told) == ["order of relevance", "relevance", "revenue, growth", "balanced"]
    assert told["balanced"][0] == "stock 0.25, relevance 0.75"
    assert [float(v) for v in told["revenue, growth"][1:]] == [0.69, 0.55, 0.4]
    assert [float(v) for v in told["order of relevance"][1:]] == [0.7, 0.5, 0.4]
    legends = re.findall(r'<ul class="legend">(.*?)</ul>', text, re.DOTALL)
    assert len(legends) == len(drawings(text)) == 4
    for legend in legends:
        assert all(name in legend for name in told)


def test_what_is_told_beside():
    said = " ".join(Tags(front_page(page(*POINTS))).text)
    difference = "difference +0.0124 [-0.0031, +0.0263]"
    for expected in ("shop-policy/7", "1,234", "0.0241", "0.0117", "90 blends", "of 5", difference):
        assert expected in said
    assert "mean(stock)@10 over nDCG@10" in said


def test_names_are_escaped():
    nasty = point(0.6, 0.6, 0.6, NASTY, preference=NASTY)
    measures = {**MEASURES, "stock": NASTY}
    text = front_page(page(*POINTS, nasty, model=NASTY, measures=measures))
    assert "<script" not in text
    found = Tags(text)
    assert "script" not in {tag for tag, _ in found.tags}
    assert NASTY in "".join(found.text)


def test_one_file_without_anything_from_outside():
    text = front_page(page(*POINTS))
    tags = Tags(text).tags
    assert {"script", "link", "img", "iframe", "object", "base", "a"}.isdisjoint(t for t, _ in tags)
    names = {name for _, attributes in tags for name in attributes}
    assert names.isdisjoint({"src", "href", "srcset", "xlink:href", "onload"})
    for outside in ("http:", "https:", "@import", "url("):
        assert outside not in text


EQUAL = tuple(point(0.7, 0.5, 0.4, name) for name in ("relevance", "balanced"))
FAR = (point(-3.0, 250.0, 0.4, "revenue"), point(0.7, 0.5, 1e-9))


@pytest.mark.parametrize("points", [POINTS, EQUAL, FAR, (), POINTS[2:4]])
def test_all_that_is_drawn_lies_within_the_view(points):
    found = drawings(front_page(page(*points)))
    assert found
    for svg in found:
        left, top, width, height = map(float, svg.get("viewBox").split())
        circles = svg.findall(".//circle")
        assert circles
        for circle in circles:
            x, y, r = (float(circle.get(name)) for name in ("cx", "cy", "r"))
            assert left + r <= x <= left + width - r
            assert top + r <= y <= top + height - r
        for text in svg.findall(".//text"):
            if text.get("x"):
                assert left <= float(text.get("x")) <= left + width
                assert top <= float(text.get("y")) <= top + height


def test_every_point_is_drawn_once_and_larger_ones_last():
    for plot in front_plots(page(*POINTS)):
        dots = plot.drawings[0].dots
        assert len(dots) == len(POINTS) + 1
        assert [dot.large for dot in dots] == [False] * 2 + [True] * 4
        assert dots[0].role == "random"
        assert dots[-1].role == "baseline"
        assert len({dot.role for dot in dots[2:]}) == 4


def test_the_second_drawing_is_of_the_named_points_alone():
    first, _ = front_plots(page(*POINTS))
    _, close = first.drawings
    assert close.caption
    assert all(dot.large for dot in close.dots)
    # The widest pair of them fills the frame but for its margins: 0.69 to 0.7 of nDCG.
    xs = [dot.x for dot in close.dots]
    assert max(xs) - min(xs) > 0.8 * (close.chart.right - close.chart.left)
    wide = [dot.x for dot in first.drawings[0].dots if dot.large]
    assert max(wide) - min(wide) < 0.1 * (close.chart.right - close.chart.left)


def test_higher_is_further_up_and_to_the_right():
    first, _ = front_plots(page(*POINTS))
    dots = {dot.title.split(":")[0]: dot for dot in first.drawings[0].dots}
    low, high = dots["revenue, growth"], dots["relevance"]
    assert low.x < high.x
    assert low.y < high.y


def test_without_names_there_is_one_drawing_for_each_objective_but_the_first():
    plots = front_plots(page(*POINTS[2:4]))
    assert [len(plot.drawings) for plot in plots] == [1, 1]
    assert [(p.up, p.across) for p in plots] == [
        ("mean(revenue)@10", "nDCG@10"),
        ("mean(stock)@10", "nDCG@10"),
    ]
    alone = {"relevance": "nDCG@10"}
    assert front_plots(page(*POINTS, measures=alone)) == ()
    assert "Named points" in front_page(page(*POINTS, measures=alone))


def test_every_role_has_a_colour():
    text = front_page(page(*POINTS))
    styles = "".join(re.findall(r"<style>.*?</style>", text, re.DOTALL))
    for role in (*(f"point-{i}" for i in range(COLOURS)), "baseline", "curve", "random"):
        assert f".{role} {{ --role:" in styles
