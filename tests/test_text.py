import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.errors import ConfigError, InputError
from cascade.text import ANALYSERS, analyser

TEXTS = st.text(max_size=60) | st.text("abyz019'.,-_ éüß", max_size=60)


def rules(tmp_path, content, name="english"):
    path = tmp_path / "synonyms.txt"
    path.write_text(content, encoding="utf-8")
    return analyser(name, path)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Red dress", ["red", "dress"]),
        ("hand-made", ["hand", "made"]),
        ("O'Neill don't 'quoted'", ["o'neill", "don't", "quoted"]),
        ("3.5mm 1,000 v2.0 9'9 3. 4", ["3.5mm", "1,000", "v2.0", "9", "9", "3", "4"]),
        ("red_dress Color:Red end.Start", ["red", "dress", "color", "red", "end", "start"]),
        ("iPhone6s", ["iphone6s"]),
        ("$12.99/100%", ["12.99", "100"]),
        ("the and of", ["the", "and", "of"]),
        ("a\tb\nc\x00d", ["a", "b", "c", "d"]),
        ("", []),
        (" .,'-_!? ", []),
    ],
)
def test_tokens_are_runs_of_letters_and_digits(text, tokens):
    assert analyser("plain").tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Café CRÈME naïve Ångström", ["cafe", "creme", "naive", "angstrom"]),
        ("Łódź Ærø Straße İzmir ılık", ["lodz", "aero", "strasse", "izmir", "ilik"]),
        ("Việt Nam", ["viet", "nam"]),
        ("cafe\u0301 man\u0303ana", ["cafe", "manana"]),
        ("women\u2019s o\u02bcneill", ["women's", "o'neill"]),
        ("Nike\u2122Air\u00ae", ["nike", "air"]),
        ("10\u00bd cups", ["10", "1", "2", "cups"]),
        ("\u201cquoted\u201d \u2013 dash\u2014dash 10\u00b0", ["quoted", "dash", "dash", "10"]),
        ("co\u00adoperate zero\u200bwidth", ["cooperate", "zerowidth"]),
        ("ﬁne ｆｕｌｌ１２ m²", ["fine", "full12", "m2"]),
    ],
)
def test_latin_letters_are_folded_to_ascii(text, tokens):
    assert analyser("plain").tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("日本語 テスト", ["日", "本", "語", "テスト"]),
        ("ひら12", ["ひ", "ら", "12"]),
        ("한국어 책", ["한국어", "책"]),
        ("हिन्दी किताब।", ["हिन्दी", "किताब"]),
        ("МОЙ й ё", ["мой", "й", "ё"]),
        ("Ελλάδα", ["ελλάδα"]),
        ("красное_платье", ["красное", "платье"]),
        ("😀 smile😀", ["smile"]),
    ],
)
def test_other_scripts_keep_their_marks(text, tokens):
    assert analyser("plain").tokens(text) == tokens


def test_english_stems_as_porter_two_and_drops_the_possessive():
    # Of the sample vocabulary that stands with the Porter2 definition, and its step 0.
    text = "consistency consolingly knightly knots women's girls' dresses running"
    stems = ["consist", "consol", "knight", "knot", "women", "girl", "dress", "run"]
    assert analyser("english").tokens(text) == stems


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Größe", "groesse"),
        ("Straße", "STRASSE"),
        ("Müller", "Mueller"),
        ("Häuser", "haus"),
        ("Kühlschränke", "Kuehlschrank"),
        ("Schuhe", "Schuh"),
        ("Ko\u0308nig", "König"),
    ],
)
def test_german_spellings_and_forms_meet(one, other):
    german = analyser("german")
    assert german.tokens(one) == german.tokens(other) != []


def test_german_differs_from_english():
    assert analyser("german").tokens("neue Schuhe") == ["neu", "schuh"]
    assert analyser("english").tokens("neue Schuhe") != ["neu", "schuh"]


@given(TEXTS, TEXTS)
def test_a_text_is_analysed_piece_by_piece(left, right):
    for name in ANALYSERS:
        both = analyser(name)
        assert both.tokens(f"{left} | {right}") == both.tokens(left) + both.tokens(right)
        assert both.tokens_of([left, right]) == both.tokens(left) + both.tokens(right)


@given(st.text(st.characters(max_codepoint=127), max_size=80))
def test_ascii_words_are_the_same_beside_other_ones(text):
    # The ASCII shortcut and the path for every script must agree.
    english = analyser("english")
    assert english.tokens(f"{text} я") == [*english.tokens(text), "я"]
    assert english.tokens(f"{text} é") == [*english.tokens(text), "e"]


@given(TEXTS)
def test_terms_are_never_empty_and_never_long(text):
    for name in ANALYSERS:
        assert all(0 < len(term) <= 100 for term in analyser(name).tokens(text))


def test_a_long_token_is_cut_at_one_hundred_characters():
    assert analyser("plain").tokens("x" * 101 + " y") == ["x" * 100, "y"]


def test_a_megabyte_is_analysed():
    assert len(analyser("english").tokens("wörd " * 200_000)) == 200_000
    assert analyser("english").tokens("7" * 1_000_000) == ["7" * 100]


def test_lone_surrogates_separate():
    assert analyser("english").tokens("red\ud800shoe") == ["red", "shoe"]


@given(TEXTS)
def test_spans_stand_where_the_words_are(text):
    plain = analyser("plain")
    for start, end, terms in plain.spans(text):
        assert list(terms) == plain.tokens(text[start:end])


def test_spans_carry_terms_and_synonyms(tmp_path):
    analysed = rules(tmp_path, "couch, sofa")
    text = "Two Sofas, a couché."
    found = [(text[a:b], list(terms)) for a, b, terms in analysed.spans(text)]
    assert found[1] == ("Sofas", ["couch"])
    assert found[-1] == ("couché", ["couch"])


def test_threads_share_an_analyser():
    texts = [f"runners{i} running{i % 7} dresses n{i}" for i in range(500)]
    expected = [[analyser("english").tokens(word)[0] for word in text.split()] for text in texts]
    fresh = [f"{text} {'walking' * 2}{i}" for i, text in enumerate(texts)]
    wrong = []

    def work():
        for text, known in zip(fresh, expected, strict=True):
            if analyser("english").tokens(text)[:-1] != known:
                wrong.append(text)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_terms_stay_right_when_the_memory_is_full():
    plain = analyser("plain")
    for start in range(0, 300_000, 50_000):
        plain.tokens(" ".join(f"w{i}" for i in range(start, start + 50_000)))
    assert plain.tokens("w1 W299999") == ["w1", "w299999"]


def test_an_unknown_analyser_is_refused_by_the_nearest_name():
    with pytest.raises(InputError, match="'englisch'; did you mean 'english'"):
        analyser("englisch")


def test_fingerprints_tell_what_decides_the_terms(tmp_path):
    first = rules(tmp_path, "a, b")
    (tmp_path / "copy").mkdir()
    prints = {
        analyser("english").fingerprint,
        analyser("german").fingerprint,
        analyser("plain").fingerprint,
        first.fingerprint,
        rules(tmp_path, "a, c").fingerprint,
    }
    assert len(prints) == 5
    assert rules(tmp_path / "copy", "a, b").fingerprint == first.fingerprint


def test_equivalents_become_the_first_of_their_line(tmp_path):
    analysed = rules(tmp_path, "# furniture\n\nsofa, couch, settee\n")
    assert analysed.tokens("Two couches and a settee") == ["two", "sofa", "and", "a", "sofa"]


def test_the_longest_match_wins(tmp_path):
    analysed = rules(tmp_path, "tv, television\ntelevision set => screen\nset => kit\n", "plain")
    assert analysed.tokens("television") == ["tv"]
    assert analysed.tokens("a television set") == ["a", "screen"]
    assert analysed.tokens("television sets set") == ["tv", "sets", "kit"]


def test_a_head_of_several_words_is_kept_whole(tmp_path):
    analysed = rules(tmp_path, "new york, nyc\nyork => town\n", "plain")
    assert analysed.tokens("nyc york new york") == ["new", "york", "town", "new", "york"]


def test_an_arrow_gives_all_on_its_right(tmp_path):
    analysed = rules(tmp_path, "jewellery, bling => ring, ear ring\n", "plain")
    assert analysed.tokens("bling box") == ["ring", "ear", "ring", "box"]


def test_the_right_of_an_arrow_meets_its_equivalents(tmp_path):
    analysed = rules(tmp_path, "bag, purse\nclutch => purse\n", "plain")
    assert analysed.tokens("clutch") == analysed.tokens("purse") == ["bag"]


def test_lines_that_share_a_term_join(tmp_path):
    analysed = rules(tmp_path, "a1, b1\nc1, d1\nd1, b1\n", "plain")
    assert analysed.tokens("a1 b1 c1 d1") == ["a1"] * 4


def test_a_backslash_keeps_a_comma(tmp_path):
    analysed = rules(tmp_path, r"1\,000, thousand", "plain")
    assert analysed.tokens("thousand pieces") == ["1,000", "pieces"]


def test_no_synonym_spans_two_values(tmp_path):
    analysed = rules(tmp_path, "nyc, new york", "plain")
    assert analysed.tokens_of(["new", "york"]) == ["new", "york"]
    assert analysed.tokens_of(["new york", "york"]) == ["nyc", "york"]


def test_every_bad_synonym_line_is_named(tmp_path):
    bad = "fine, good\nalone\na => b => c\n, x\ny => !\nz => 1\nz => 2\nfine => poor\n"
    with pytest.raises(ConfigError) as caught:
        rules(tmp_path, bad, "plain")
    error = caught.value
    assert error.source.endswith("synonyms.txt")
    lines = [problem.split(":")[0] for problem in error.problems]
    assert lines == ["line 2", "line 3", "line 4", "line 5", "line 7", "line 8"]
    assert "'a, b' and 'a => b'" in error.problems[0]
    assert "already replaced in line 6" in error.problems[4]


def test_a_synonym_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.txt.*\n.*cannot be read: No such file"):
        analyser("english", tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9, bar")
    with pytest.raises(ConfigError, match=r"latin\.txt.*\n.*byte 3 is not UTF-8"):
        analyser("english", tmp_path / "latin.txt")
