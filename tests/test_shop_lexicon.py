import numpy as np
import pytest

from cascade.shop.lexicon import ATTRIBUTE_KINDS, lexicon, stem


def concept(kind, name):
    lex = lexicon()
    return next(c for c in range(*lex.spans[kind]) if lex.canonical(c) == name)


def test_is_as_wide_as_a_shop_must_be():
    lex = lexicon()
    assert lex.count("type") >= 60
    assert sum(lex.count(kind) for kind in ATTRIBUTE_KINDS) >= 170
    assert int((lex.form_count > 1).sum()) >= 100


def test_forms_lie_beside_their_concept():
    lex = lexicon()
    assert lex.concept_forms(concept("type", "sweater")) == ("sweater", "jumper", "pullover")
    for form, owner in enumerate(lex.form_concept.tolist()):
        start = int(lex.first_form[owner])
        assert start <= form < start + int(lex.form_count[owner])


def test_words_of_a_form_spell_it_again():
    lex = lexicon()
    for form, text in enumerate(lex.forms):
        words = [lex.words[w] for w in lex.form_words[form].tolist() if w >= 0]
        assert words == [stem(word) for word in text.replace("-", " ").split()]
        assert int(lex.form_length[form]) == len(words)


@pytest.mark.parametrize(
    ("luck", "said"),
    [(0.0, "sweater"), (0.64, "sweater"), (0.66, "jumper"), (0.80, "jumper"), (0.99, "pullover")],
)
def test_speaks_a_form_by_luck(luck, said):
    lex = lexicon()
    sweater = np.array([concept("type", "sweater")], np.int16)
    assert lex.forms[int(lex.speak(sweater, np.array([luck]))[0])] == said


def test_speaks_nothing_of_nothing():
    assert lexicon().speak(np.array([-1], np.int16), np.array([0.9])).tolist() == [-1]


def test_types_are_made_of_their_own_materials():
    lex = lexicon()
    first = lex.spans["material"][0]
    mug = concept("type", "mug") - lex.spans["type"][0]
    chance = np.diff(lex.type_materials[mug], prepend=0.0)
    made_of = {lex.canonical(first + m) for m in np.flatnonzero(chance > 0).tolist()}
    assert made_of == {
        "ceramic",
        "stoneware",
        "glass",
        "porcelain",
        "terracotta",
        "enamel",
        "marble",
        "concrete",
    }
    assert chance.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("word", "left"), [("mugs", "mug"), ("glass", "glass"), ("bus", "bus")])
def test_stem(word, left):
    assert stem(word) == left
