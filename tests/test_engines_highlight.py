"""Highlights mark what the analyser matches, escape all else, and keep to their length."""

import re

import pytest

from cascade.engines.highlight import FRAGMENT_CHARS, MAX_TEXT_CHARS, highlighted
from cascade.text import analyser

ENGLISH = analyser("english")


def marked(text, query, length=FRAGMENT_CHARS, reader=ENGLISH):
    texts = [text] if isinstance(text, str) else text
    return highlighted(texts, reader.tokens(query), reader, length)


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("Red shoes, size 3.5!", "shoe", "Red <em>shoes</em>, size 3.5!"),
        ("size 3.5 or 35", "3.5", "size <em>3.5</em> or 35"),
        ("O\u2019Neill's board", "o'neill", "<em>O\u2019Neill&#x27;s</em> board"),
        ("CAFÉ crème", "cafe", "<em>CAFÉ</em> crème"),
        ("a<b>red</b>&c", "red b", "a&lt;<em>b</em>&gt;<em>red</em>&lt;/<em>b</em>&gt;&amp;c"),
        ("red_dress", "dress", "red_<em>dress</em>"),
        ("👠 red 👠", "red", "👠 <em>red</em> 👠"),
        ("İstanbul red", "red", "İstanbul <em>red</em>"),
        ("赤い靴", "靴", "赤い<em>靴</em>"),
    ],
)
def test_marks_words_where_they_stand(text, query, expected):
    assert marked(text, query) == expected


@pytest.mark.parametrize("text", ["", "blue", "shred", "red" * 40])
def test_no_match_gives_nothing(text):
    assert marked(text, "red") is None


def test_no_terms_and_no_texts_give_nothing():
    assert marked("red", "") is None
    assert marked([], "red") is None


def test_the_fragment_has_the_most_distinct_terms_then_the_most_matches():
    text = "red red red " + "x " * 200 + "red hat " + "y " * 200 + "red hat hat"
    assert re.findall("<em>(.*?)</em>", marked(text, "red hat", 30)) == ["red", "hat", "hat"]
    assert marked(text, "red", 30).count("<em>") == 3
    assert marked("cup one " + "x " * 200 + "cup two", "cup", 20).startswith("<em>cup</em> one")


def test_the_best_of_several_values_is_shown():
    assert marked(["a red cup", "red hat", "hat"], "red hat") == "<em>red</em> <em>hat</em>"


@pytest.mark.parametrize("length", [1, 10, 50, 200])
@pytest.mark.parametrize("place", [0, 3, 150, 299])
def test_a_fragment_keeps_its_length_and_whole_words(length, place):
    words = [f"w{i}" for i in range(300)]
    words[place] = "target"
    text = " ".join(words)
    found = marked(text, "target", length)
    plain = re.sub("</?em>|\u2026", "", found)
    assert "<em>target</em>" in found
    assert len(plain) <= max(length, len("target"))
    assert set(plain.split()) <= set(words)
    assert plain in text
    assert found.startswith("\u2026") == (not text.startswith(plain))
    assert found.endswith("\u2026") == (not text.endswith(plain))
    if length == 200:
        assert len(plain) > 180


def test_a_huge_text_is_read_up_to_a_limit():
    assert marked("x " * MAX_TEXT_CHARS + "red", "red") is None
    assert "<em>red</em>" in marked("red " + "x " * MAX_TEXT_CHARS, "red")
