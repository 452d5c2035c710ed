"""What every engine must do: subclass `EngineContract` and give it a `make_engine` fixture.

`make_engine(documents)` builds an index and its catalogue from raw documents of `SCHEMA`, in their
order, and returns the opened engine; two calls give two builds.
"""

import math
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from cascade.candidates import Query
from cascade.errors import DeadlineError, EngineError, QueryError
from cascade.filters import AllOf, AnyOf, Exists, Filter, In, Not, Range, parse
from cascade.protocols import Asked, Capability, Deadline, Engine, Retrieval, Sort
from cascade.schema import Document, Field, Kind, Schema

SCHEMA = Schema(
    "id",
    (
        Field("title", Kind.TEXT, boost=3.0),
        Field("text", Kind.TEXT, boost=1.5),
        Field("note", Kind.TEXT, boost=0.0),
        Field("brand", Kind.KEYWORD),
        Field("tags", Kind.KEYWORD),
        Field("price", Kind.NUMBER),
        Field("rating", Kind.NUMBER),
        Field("added", Kind.DATE),
    ),
)
MakeEngine = Callable[[Sequence[Mapping[str, object]]], Engine]
WORDS = ["red", "blue", "shoe", "hat", "lamp", "oak", "tiny", "wool", "ring", "cup"]
BRANDS = ["acme", "Acme", "b & b", "zoë", "x:y*", ""]
EVERYTHING = Asked(match_all=True)


def corpus(count: int = 300, seed: int = 5) -> list[dict[str, object]]:
    """Return documents of few words, so that many are equal for BM25, with much missing."""
    rng = random.Random(seed)
    documents: list[dict[str, object]] = []
    for i in range(count):
        raw: dict[str, object] = {"id": f"doc-{rng.randrange(10**6)}-{i}"}
        if rng.random() < 0.95:
            raw["title"] = " ".join(rng.choices(WORDS, k=rng.choice([1, 2, 2, 2, 3])))
        if rng.random() < 0.8:
            raw["text"] = " ".join(rng.choices(WORDS, k=rng.choice([2, 4])))
        if rng.random() < 0.9:
            raw["brand"] = rng.choices(BRANDS, weights=[9, 5, 5, 3, 2, 1])[0]
        if rng.random() < 0.7:
            raw["tags"] = rng.choices(["a", "b", "c", "d", "e"], k=rng.randrange(4))
        if rng.random() < 0.9:
            raw["price"] = rng.choice([-2.5, -0.0, 0, 1, 10, 19.99, 20, 1e6])
        if rng.random() < 0.3:
            raw["rating"] = rng.choice([1, 2, 3, 4, 5])
        if rng.random() < 0.8:
            raw["added"] = f"2024-0{rng.randrange(1, 10)}-15T12:00:00Z"
        documents.append(raw)
    return documents


CORPUS = corpus()
CHECKED = [SCHEMA.document(raw) for raw in CORPUS]


def holds(part: Filter, document: Document) -> bool:
    """Evaluate a filter on one document, as the grammar's table says it."""
    match part:
        case AllOf(parts):
            return all(holds(one, document) for one in parts)
        case AnyOf(parts):
            return any(holds(one, document) for one in parts)
        case Not(inner):
            return not holds(inner, document)
        case Exists(field):
            return field in document.keywords or field in document.numbers
        case In(field, values):
            numbers = {document.numbers[field]} if field in document.numbers else set()
            return bool((set(document.keywords.get(field, ())) | numbers) & set(values))
        case Range(field):
            number = document.numbers.get(field)
            return number is not None and all(
                bound is None or test(number, bound)
                for bound, test in (
                    (part.gt, float.__gt__),
                    (part.gte, float.__ge__),
                    (part.lt, float.__lt__),
                    (part.lte, float.__le__),
                )
            )


def words_of(document: Document) -> set[str]:
    return set(" ".join(document.texts.get("title", ()) + document.texts.get("text", ())).split())


def expected_ids(text: str, filters: AllOf, minimum_match: float = 0.0) -> set[str]:
    """Return the ids that a text of `WORDS` and filters match in the corpus."""
    asked = set(text.split())
    needed = max(1, math.ceil(minimum_match * len(asked)))
    return {
        document.id
        for document in CHECKED
        if len(asked & words_of(document)) >= needed and holds(filters, document)
    }


def query(text: str = "", filters: Mapping[str, object] | None = None) -> Query:
    return Query("q", text, parse(filters, SCHEMA))


def ids_and_scores(found: Retrieval) -> list[tuple[str, float]]:
    return list(zip(found.candidates.ids(), found.candidates.scores.tolist(), strict=True))


def random_filter(rng: random.Random, depth: int = 0) -> dict[str, object]:
    """Return a random raw filter of one to three conditions."""
    raw: dict[str, object] = {}
    for _ in range(rng.choice([1, 1, 2, 3])):
        kind = rng.randrange(7 if depth < 2 else 5)
        if kind == 0:
            raw["brand"] = rng.sample([*BRANDS, "nobody"], k=rng.randrange(1, 4))
        elif kind == 1:
            raw["tags"] = rng.choice(["a", "b", "nothing", ["c", "d"]])
        elif kind == 2:
            low, high = sorted(rng.sample([-3, -2.5, 0, 0.5, 10, 19.99, 20, 2e6], k=2))
            raw["price"] = rng.choice(
                [{"gte": low, "lt": high}, {"gt": low, "lte": high}, {"lt": high}, {"gt": low}]
            )
        elif kind == 3:
            raw[rng.choice(["brand", "tags", "rating"])] = {"exists": rng.random() < 0.5}
        elif kind == 4:
            raw["rating"] = rng.choice([4, [1, 5], {"gte": 3}])
        elif kind == 5:
            raw["not"] = random_filter(rng, depth + 1)
        else:
            raw["any"] = [random_filter(rng, depth + 1) for _ in range(rng.randrange(1, 4))]
    return raw


FILTERS: list[dict[str, object]] = [
    {"brand": "acme"},
    {"brand": ["zoë", "b & b"]},
    {"brand": "x:y*"},
    {"brand": "ACME"},
    {"tags": ["a", "e"]},
    {"price": 20},
    {"price": 0},
    {"price": [-2.5, 1e6]},
    {"price": {"gte": 10, "lt": 20}},
    {"price": {"gt": 10, "lte": 20}},
    {"price": {"gt": -0.0}},
    {"price": {"gte": 0, "lte": 0}},
    {"price": {"gt": 1, "gte": 1}},
    {"price": {"lt": 10, "lte": 10}},
    {"price": {"gt": 20, "lt": 10}},
    {"added": {"gte": "2024-03-15T12:00:00Z", "lt": "2024-06-01"}},
    {"rating": {"exists": True}},
    {"rating": {"exists": False}},
    {"tags": {"exists": False}},
    {"not": {"brand": "acme"}},
    {"not": {"brand": "acme", "price": {"lt": 10}}},
    {"not": {}},
    {"any": [{"brand": "acme"}, {"price": {"gt": 19.99}}]},
    {"any": [{}]},
    {"brand": "acme", "tags": "a", "price": {"lt": 100}},
    {"not": {"any": [{"brand": "acme"}, {"not": {"tags": "b"}}]}},
]


class EngineContract:
    """Hold the tests; a subclass or its module gives `make_engine`, of class scope."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, make_engine: MakeEngine) -> Engine:
        """An engine over `CORPUS` that no test changes."""
        return make_engine(CORPUS)

    def test_order_is_score_descending_then_row_ascending(self, engine):
        found = engine.retrieve([query("red shoe hat")], len(CORPUS)).candidates
        pairs = list(zip((-found.scores).tolist(), found.rows.tolist(), strict=True))
        assert pairs == sorted(pairs)
        assert len({score for score, _ in pairs}) < len(pairs) / 2  # there are many ties
        assert found.scores.min() > 0

    @pytest.mark.parametrize("text", ["red", "red shoe hat", "lamp oak tiny wool"])
    def test_every_cut_is_a_prefix_of_the_whole(self, engine, text):
        whole = ids_and_scores(engine.retrieve([query(text)], len(CORPUS)))
        for size in [*range(1, 40), 100, len(whole) - 1]:
            assert ids_and_scores(engine.retrieve([query(text)], size)) == whole[:size]

    def test_two_builds_agree(self, engine, make_engine):
        again = make_engine(CORPUS)
        for text in ("red", "red shoe hat", "wool ring cup oak"):
            for size in (10, 100):
                first, second = (e.retrieve([query(text)], size) for e in (engine, again))
                assert ids_and_scores(first) == ids_and_scores(second)

    def test_candidates_carry_rows_score_and_rank(self, engine):
        found = engine.retrieve([query("red"), query("blue hat")], 20).candidates
        assert found.rows.dtype == np.int32
        assert found.scores.dtype == np.float32
        assert found.ids() == [str(CORPUS[row]["id"]) for row in found.rows]
        assert found.columns["engine_score"].tolist() == found.scores.tolist()
        assert found.columns["engine_rank"].tolist() == [*range(1, 21)] * 2
        assert found.columns["engine_rank"].dtype == np.float32

    def test_a_batch_is_its_queries_one_by_one(self, engine):
        queries = [query("red"), query(""), query("nowhere"), query("hat", {"brand": "acme"})]
        batch = engine.retrieve(queries, 15, Asked(facets=("tags",)))
        assert batch.candidates.lengths.tolist() == [15, 0, 0, 15]
        for i, one in enumerate(queries):
            alone = engine.retrieve([one], 15, Asked(facets=("tags",)))
            part = batch.candidates.listings(i, i + 1)
            assert part.ids() == alone.candidates.ids()
            assert part.scores.tolist() == alone.candidates.scores.tolist()
            assert (batch.totals[i], batch.facets[i]) == (alone.totals[0], alone.facets[0])

    def test_no_query_gives_no_listing(self, engine):
        found = engine.retrieve([], 10)
        assert (len(found.candidates), found.totals, found.facets) == (0, (), ())

    @pytest.mark.parametrize("raw", FILTERS, ids=str)
    def test_filter_is_what_its_table_says(self, engine, raw):
        found = engine.retrieve([query("", raw)], len(CORPUS), EVERYTHING)
        expected = {doc.id for doc in CHECKED if holds(parse(raw, SCHEMA), doc)}
        assert set(found.candidates.ids()) == expected
        assert found.totals[0].value == len(expected)

    def test_random_filters_are_what_the_table_says(self, engine):
        rng = random.Random(11)
        sizes = set()
        for _ in range(80):
            raw = random_filter(rng)
            expected = {doc.id for doc in CHECKED if holds(parse(raw, SCHEMA), doc)}
            found = engine.retrieve([query("", raw)], len(CORPUS), EVERYTHING).candidates
            assert set(found.ids()) == expected, raw
            sizes.add(len(expected))
        assert len(sizes) > 30  # the filters tell documents apart

    def test_filter_cuts_the_matches_and_leaves_the_scores(self, engine):
        raw = {"brand": ["acme", "Acme"], "price": {"lt": 20}}
        every = dict(ids_and_scores(engine.retrieve([query("red lamp")], len(CORPUS))))
        found = ids_and_scores(engine.retrieve([query("red lamp", raw)], len(CORPUS)))
        assert {doc_id for doc_id, _ in found} == expected_ids("red lamp", parse(raw, SCHEMA))
        assert found
        assert found == [(doc_id, every[doc_id]) for doc_id, _ in found]

    def test_filter_values_are_no_syntax_and_may_be_broken(self, engine):
        for value in ("*", "acme OR zoë", "\ud800", '"', "a\x00b", "a" * 100_000):
            found = engine.retrieve([query("red", {"brand": value})], 5)
            assert found.totals[0].value == 0, value[:20]

    @pytest.mark.parametrize("size", [0, 1, 50, 10_000])
    def test_total_does_not_depend_on_size(self, engine, size):
        found = engine.retrieve([query("red shoe")], size)
        expected = expected_ids("red shoe", AllOf(()))
        assert len(found.candidates) == min(size, len(expected))
        assert (found.totals[0].value, found.totals[0].relation) == (len(expected), "eq")

    def test_negative_size_is_refused(self, engine):
        with pytest.raises(QueryError, match="size is -1; accepted is 0 or more"):
            engine.retrieve([query("red")], -1)

    def test_facets_ignore_their_own_filter_and_no_other(self, engine):
        raw = {"brand": ["acme", "zoë"], "tags": "a", "price": {"lt": 1000}}
        asked = Asked(facets=("brand", "tags"), facet_size=100)
        facets = engine.retrieve([query("red shoe", raw)], 5, asked).facets[0]
        for field in ("brand", "tags"):
            others = parse({name: c for name, c in raw.items() if name != field}, SCHEMA)
            counts: dict[str, int] = {}
            for doc in CHECKED:
                if doc.id in expected_ids("red shoe", others):
                    for value in doc.keywords.get(field, ()):
                        counts[value] = counts.get(value, 0) + 1
            expected = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            assert [(v.value, v.count) for v in facets[field]] == expected
            assert len(expected) > 2

    def test_facets_by_hand(self, make_engine):
        rows = [("s", "r"), ("s", "r"), ("s", "b"), ("t", "b"), ("t", "b"), ("u", "r")]
        engine = make_engine(
            [
                {"id": str(i), "title": "cup", "brand": brand, "tags": [tag, tag]}
                for i, (brand, tag) in enumerate(rows)
            ]
        )
        asked = Asked(facets=("brand", "tags"), facet_size=2)
        found = engine.retrieve([query("cup", {"tags": "r"})], 0, asked)
        facets = {f: [(v.value, v.count) for v in vs] for f, vs in found.facets[0].items()}
        # Three documents have tag r (s, s, u); the tag facet counts all six.
        assert found.totals[0].value == 3
        assert facets == {"brand": [("s", 2), ("u", 1)], "tags": [("b", 3), ("r", 3)]}

    def test_facet_cut_keeps_the_most_frequent_then_the_first_value(self, make_engine):
        values = [f"v{i:04}" for i in range(3000)]
        random.Random(3).shuffle(values)
        many = [{"id": f"m{i}", "title": "cup", "brand": "v1500"} for i in range(2)]
        engine = make_engine([{"id": v, "title": "cup", "brand": v} for v in values] + many)
        found = engine.retrieve([query("cup")], 0, Asked(facets=("brand",), facet_size=4))
        counted = [(v.value, v.count) for v in found.facets[0]["brand"]]
        assert counted == [("v1500", 3), ("v0000", 1), ("v0001", 1), ("v0002", 1)]

    def test_facets_of_no_match_are_empty(self, engine):
        asked = Asked(facets=("brand", "tags"))
        found = engine.retrieve([query("nowhere"), query("")], 5, asked)
        assert found.facets == ({"brand": (), "tags": ()},) * 2

    def test_facet_of_another_field_is_refused(self, engine):
        with pytest.raises(QueryError, match=r"'brnd' is no keyword field; did you mean 'brand'"):
            engine.retrieve([query("red")], 5, Asked(facets=("brnd",)))
        with pytest.raises(QueryError, match="'price' is no keyword field"):
            engine.retrieve([query("red")], 5, Asked(facets=("price",)))
        with pytest.raises(QueryError, match="facet_size is -1"):
            engine.retrieve([query("red")], 5, Asked(facets=("brand",), facet_size=-1))

    @pytest.mark.parametrize("field", ["price", "rating", "added"])
    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("text", ["", "red shoe"])
    def test_sort_puts_missing_last_and_ties_by_row(self, engine, field, descending, text):
        asked = Asked(sort=Sort(field, descending), match_all=not text)
        matching = expected_ids(text, AllOf(())) if text else {doc.id for doc in CHECKED}
        sign = -1 if descending else 1

        def key(document: Document) -> tuple[bool, float]:
            number = document.numbers.get(field)
            return number is None, sign * (number or 0.0)

        expected = [doc.id for doc in sorted(CHECKED, key=key) if doc.id in matching]
        for size in (1, 10, 60, len(CORPUS)):
            found = engine.retrieve([query(text)], size, asked)
            assert found.candidates.ids() == expected[:size]
            assert found.candidates.scores.tolist() == [0.0] * len(expected[:size])
            assert found.totals[0].value == len(expected)

    def test_sort_by_another_field_is_refused(self, engine):
        with pytest.raises(QueryError, match="sort: 'brand' is no number or date field"):
            engine.retrieve([query("red")], 5, Asked(sort=Sort("brand")))

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.75, 1.0])
    @pytest.mark.parametrize("text", ["red", "red shoe", "red shoe hat", "red shoe hat lamp oak"])
    def test_minimum_match_counts_terms_over_all_fields(self, engine, share, text):
        found = engine.retrieve([query(text)], len(CORPUS), Asked(minimum_match=share))
        assert set(found.candidates.ids()) == expected_ids(text, AllOf(()), share)

    def test_minimum_match_counts_distinct_terms(self, engine):
        asked = Asked(minimum_match=1.0)
        once = engine.retrieve([query("red shoe")], 50, asked)
        twice = engine.retrieve([query("red shoes RED shoe")], 50, asked)
        assert ids_and_scores(once) == ids_and_scores(twice)

    def test_minimum_match_leaves_the_scores(self, engine):
        every = dict(ids_and_scores(engine.retrieve([query("red shoe hat")], len(CORPUS))))
        asked = Asked(minimum_match=0.6)
        found = dict(ids_and_scores(engine.retrieve([query("red shoe hat")], len(CORPUS), asked)))
        assert 0 < len(found) < len(every)
        assert found == pytest.approx({i: every[i] for i in found}, rel=1e-6)

    def test_match_all_adds_the_rest_behind_the_matches(self, engine):
        raw = {"price": {"gte": 10}}
        matches = ids_and_scores(engine.retrieve([query("red", raw)], len(CORPUS)))
        found = engine.retrieve([query("red", raw)], len(CORPUS), EVERYTHING)
        rows = {doc.id: row for row, doc in enumerate(CHECKED)}
        passing = [doc.id for doc in CHECKED if holds(parse(raw, SCHEMA), doc)]
        rest = sorted(set(passing) - {i for i, _ in matches}, key=rows.__getitem__)
        assert ids_and_scores(found) == [*matches, *((i, 0.0) for i in rest)]
        assert found.totals[0].value == len(passing)

    def test_match_all_without_text_is_in_row_order(self, engine):
        for size in (7, len(CORPUS)):
            found = engine.retrieve([query("")], size, EVERYTHING)
            assert found.candidates.rows.tolist() == list(range(size))
            assert set(found.candidates.scores.tolist()) == {0.0}

    def test_only_names_the_ids_that_may_come(self, engine):
        every = engine.retrieve([query("red")], len(CORPUS)).candidates.ids()
        chosen = (every[30], every[3], "gone")
        found = engine.retrieve([query("red")] * 3, 10, Asked(only=(chosen, (), ("gone",))))
        assert found.candidates.ids() == [every[3], every[30]]
        assert [total.value for total in found.totals] == [2, 0, 0]

    def test_only_with_match_all_still_obeys_the_filters(self, engine):
        inside = next(doc for doc in CHECKED if doc.numbers.get("price") == 10)
        outside = next(doc for doc in CHECKED if doc.numbers.get("price") == 20)
        asked = replace(EVERYTHING, only=((outside.id, inside.id),))
        found = engine.retrieve([query("nowhere", {"price": {"lt": 20}})], 10, asked)
        assert found.candidates.ids() == [inside.id]

    def test_only_must_name_ids_for_each_query(self, engine):
        with pytest.raises(QueryError, match="only names ids for 1 of 2 queries"):
            engine.retrieve([query("red"), query("hat")], 5, Asked(only=(("x",),)))

    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            ("red) OR brand:* (", "red or brand"),
            ("title:red", "title red"),
            ('"red shoe"~2', "red shoe 2"),
            ("+red -shoe", "red shoe"),
            ("red^100 hat", "red 100 hat"),
            ("re* AND NOT hat", "re and not hat"),
            ("red\\", "red"),
            ("[* TO red]", "to red"),
            ("RED\x00shoe\n", "red shoe"),
        ],
    )
    def test_text_is_words_and_never_syntax(self, engine, typed, words):
        found = engine.retrieve([query(typed)], len(CORPUS))
        assert ids_and_scores(found) == ids_and_scores(engine.retrieve([query(words)], len(CORPUS)))
        assert set(found.candidates.ids()) == expected_ids(words, AllOf(()))

    @pytest.mark.parametrize("text", ["", "   ", "!?*", "\u00a0", "\ud800", "👠", "\x00"])
    def test_text_without_a_known_word_matches_nothing(self, engine, text):
        found = engine.retrieve([query(text)], 10, Asked(facets=("brand",)))
        assert len(found.candidates) == 0
        assert found.totals[0].value == 0

    def test_emoji_and_lone_surrogates_beside_words_do_no_harm(self, engine):
        plain = ids_and_scores(engine.retrieve([query("red shoe")], 20))
        assert ids_and_scores(engine.retrieve([query("red 👠 shoe \udfff")], 20)) == plain

    def test_a_query_of_a_megabyte_is_answered(self, engine):
        found = engine.retrieve([query("red shoe " * 120_000)], 20)
        assert ids_and_scores(found) == ids_and_scores(engine.retrieve([query("red shoe")], 20))
        many = " ".join(f"word{i}" for i in range(100_000))
        assert engine.retrieve([query(f"red {many}")], 20).candidates.ids()

    def test_a_field_without_boost_is_not_searched(self, make_engine):
        engine = make_engine([{"id": "1", "title": "cup", "note": "secret"}])
        assert len(engine.retrieve([query("secret")], 5).candidates) == 0

    def test_a_deadline_that_has_passed_is_an_error(self, engine):
        with pytest.raises(DeadlineError, match="deadline passed"):
            engine.retrieve([query("red")], 5, Asked(), Deadline(5.0, clock=lambda: 5.5))
        ahead = Deadline(5.0, clock=lambda: 4.0)
        assert len(engine.retrieve([query("red")], 5, Asked(), ahead).candidates) == 5

    def test_fetch_keeps_the_order_and_says_what_is_gone(self, engine):
        ids = [str(CORPUS[row]["id"]) for row in (7, 3, 11)]
        pages = engine.fetch(query(), [ids[0], "gone", ids[1], ids[2], ids[0], "\ud800"])
        assert [page and page.fields["id"] for page in pages] == [
            ids[0],
            None,
            ids[1],
            ids[2],
            ids[0],
            None,
        ]
        assert engine.fetch(query(), []) == []

    def test_fetch_checks_the_filters_and_not_the_text(self, engine):
        ids = [str(raw["id"]) for raw in CORPUS[:40]]
        raw = {"brand": ["acme"], "price": {"lt": 20}}
        pages = engine.fetch(query("nowhere", raw), ids)
        passing = [holds(parse(raw, SCHEMA), doc) for doc in CHECKED[:40]]
        assert [page is not None for page in pages] == passing
        assert 0 < sum(passing) < 40

    def test_fetch_gives_fields_as_they_were_given(self, make_engine):
        raw = {
            "id": "1",
            "title": "Cup — <b>ünïcode</b> 👠",
            "price": 3,
            "extra": {"deep": [1, None, "x"]},
            "nothing": None,
        }
        engine = make_engine([raw])
        assert engine.fetch(query(), ["1"])[0].fields == raw
        page = engine.fetch(query(), ["1"], ["extra", "price", "absent"])[0]
        assert dict(page.fields) == {"extra": {"deep": [1, None, "x"]}, "price": 3}

    def test_highlight_marks_matches_and_escapes_the_rest(self, make_engine):
        engine = make_engine(
            [
                {"id": "1", "title": "<script>alert('Shoes')</script> & red shoe"},
                {"id": "2", "title": "a hat", "text": "no match", "note": "the shoe's note"},
            ]
        )
        pages = engine.fetch(query("shoe"), ["1", "2"], ["id"], ["title", "text", "note"])
        marked = pages[0].highlights["title"]
        assert "<script>" not in marked
        assert "<em>Shoes</em>" in marked
        assert "&amp; red <em>shoe</em>" in marked
        assert "&lt;script&gt;" in marked
        assert set(pages[0].highlights) == {"title"}
        assert set(pages[1].highlights) == {"note"}
        assert engine.fetch(query("shoe"), ["1"])[0].highlights == {}

    def test_highlight_of_a_long_text_is_a_fragment_around_its_matches(self, make_engine):
        text = "filler words here " * 200 + "a red shoe of wool " + "other words there " * 200
        engine = make_engine([{"id": "1", "title": "x", "text": text}])
        marked = engine.fetch(query("red shoe"), ["1"], None, ["text"])[0].highlights["text"]
        assert "<em>red</em> <em>shoe</em>" in marked
        assert len(marked) < 400

    def test_highlight_of_another_field_is_refused(self, engine):
        with pytest.raises(QueryError, match=r"'titel' is no text field; did you mean 'title'"):
            engine.fetch(query("red"), [str(CORPUS[0]["id"])], None, ["titel"])
        with pytest.raises(QueryError, match="'brand' is no text field"):
            engine.fetch(query("red"), [str(CORPUS[0]["id"])], None, ["brand"])

    def test_an_empty_index_answers(self, make_engine):
        engine = make_engine([])
        found = engine.retrieve([query("red")], 5, Asked(facets=("brand",), match_all=True))
        assert (len(found.candidates), found.totals[0].value) == (0, 0)
        assert engine.fetch(query(), ["1"]) == [None]
        assert engine.healthy()

    def test_close_ends_it(self, make_engine):
        engine = make_engine(CORPUS[:3])
        assert engine.healthy()
        engine.close()
        assert not engine.healthy()
        with pytest.raises(EngineError, match="closed"):
            engine.retrieve([query("red")], 5)
        engine.close()

    def test_capabilities_are_named(self, engine):
        assert engine.capabilities <= set(Capability)
        assert engine.kind in ("embedded", "elasticsearch", "opensearch", "solr")


class UpdateContract:
    """Hold the tests of engines with `Capability.UPDATE`: `upsert`, `delete` and `refresh`."""

    @pytest.fixture
    def engine(self, make_engine: MakeEngine) -> Engine:
        """An engine that the test may change."""
        return make_engine(
            [{"id": f"d{i}", "title": "red cup", "brand": "acme", "price": i} for i in range(6)]
        )

    def test_updates_are_seen_after_refresh(self, engine):
        engine.delete(["d1", "unknown"])
        engine.upsert([SCHEMA.document({"id": "d2", "title": "blue lamp"})])
        assert len(engine.retrieve([query("red")], 10).candidates) == 6
        engine.refresh()
        found = engine.retrieve([query("red")], 10, Asked(facets=("brand",)))
        assert found.candidates.ids() == ["d0", "d3", "d4", "d5"]
        assert found.totals[0].value == 4
        assert [(v.value, v.count) for v in found.facets[0]["brand"]] == [("acme", 4)]
        assert engine.fetch(query(), ["d1", "d2"])[0] is None
        assert engine.fetch(query(), ["d2"])[0].fields == {"id": "d2", "title": "blue lamp"}

    def test_a_known_document_keeps_its_row(self, engine):
        engine.upsert([SCHEMA.document({"id": "d2", "title": "blue lamp"})])
        engine.refresh()
        found = engine.retrieve([query("lamp")], 10).candidates
        assert (found.rows.tolist(), found.ids()) == ([2], ["d2"])

    def test_a_document_beyond_the_catalogue_has_no_row_and_comes_last(self, engine):
        new = [SCHEMA.document({"id": f"n{i}", "title": "red cup"}) for i in range(2)]
        engine.upsert(new)
        engine.upsert(new[:1])
        engine.refresh()
        found = engine.retrieve([query("red cup"), query("cup")], 7)
        assert [total.value for total in found.totals] == [8, 8]
        first = found.candidates.listings(0, 1)
        assert first.rows.tolist() == [0, 1, 2, 3, 4, 5, -1]
        assert first.ids()[:6] == [f"d{i}" for i in range(6)]
        assert first.ids()[6] in ("n0", "n1")
        every = engine.retrieve([query("")], 10, EVERYTHING).candidates
        assert sorted(every.ids()) == sorted([f"d{i}" for i in range(6)] + ["n0", "n1"])
        assert [page.fields["id"] for page in engine.fetch(query(), ["n1", "n0"])] == ["n1", "n0"]

    def test_the_last_update_of_a_document_counts(self, engine):
        engine.delete(["d0"])
        engine.upsert([SCHEMA.document({"id": "d0", "title": "oak"})])
        engine.upsert([SCHEMA.document({"id": "d0", "title": "wool"})])
        engine.upsert([SCHEMA.document({"id": "d1", "title": "wool"})])
        engine.delete(["d1"])
        engine.refresh()
        assert engine.retrieve([query("oak wool")], 10).candidates.ids() == ["d0"]
        assert engine.fetch(query(), ["d0"])[0].fields["title"] == "wool"

    def test_threads_read_while_one_updates(self, engine):
        stop, failures, counts = threading.Event(), [], set()

        def read() -> None:
            while not stop.is_set():
                try:
                    found = engine.retrieve([query("red cup")], 100, Asked(facets=("brand",)))
                    counts.add((len(found.candidates), found.totals[0].value))
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for i in range(20):
            engine.upsert([SCHEMA.document({"id": f"new{i}", "title": "red cup"})])
            engine.refresh()
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert all(count == total for count, total in counts)
        assert engine.retrieve([query("red cup")], 100).totals[0].value == 26
