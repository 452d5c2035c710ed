"""Request bodies: what each refusal says."""

import json

import pytest

from cascade.protocols import Sort
from cascade.service.bodies import MAX_PROBLEMS, RankBody, SearchBody, decoded
from cascade.service.problems import RequestError


def refusal(raw, model=SearchBody):
    with pytest.raises(RequestError) as refused:
        decoded(raw if isinstance(raw, bytes) else raw.encode(), model)
    return refused.value


@pytest.mark.parametrize("given", ["0", "-1", '"10"', "1e9", "1001", "1.5", "true", "null"])
def test_a_size_that_is_no_whole_number_in_range_is_refused(given):
    error = refusal(f'{{"text": "cup", "size": {given}}}')
    shown = {"1e9": "1000000000.0"}.get(given, given)
    assert error.status == 422
    assert error.problems == (f"size: is {shown}; accepted is a whole number from 1 to 1,000",)


@pytest.mark.parametrize("preference", ["growth", {"revenue": 0.5}])
def test_a_preference_is_a_point_or_shares(preference):
    body = decoded(json.dumps({"text": "cup", "preference": preference}).encode(), SearchBody)
    assert body.preference == preference


@pytest.mark.parametrize("size", [1, 1_000])
def test_sizes_at_the_bounds_are_accepted(size):
    assert decoded(f'{{"text": "cup", "size": {size}}}'.encode(), SearchBody).size == size


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ('{"text": "cup", "filtres": {}}', "filtres: unknown field; did you mean 'filters'?"),
        ('{"text": 3}', "text: is 3; accepted is a string of at most 10,000 characters"),
        ("[1]", "the body is [1]; accepted is a JSON object"),
        ('"cup"', 'the body is "cup"; accepted is a JSON object'),
        ('{"text": "", "filters": []}', "filters: is []; accepted is an object"),
        ('{"text": "", "facets": ["a", 2]}', "facets[1]: is 2; accepted is a string"),
        ('{"text": "", "session": "d1"}', 'session: is "d1"; accepted is a list of strings'),
        ('{"text": "", "preference": {"a": null}}', "preference.a: is null; accepted is a finite"),
        ('{"text": "", "preference": {"a": "1"}}', 'preference.a: is "1"; accepted is a finite'),
        ('{"text": "", "preference": 3}', "preference: is 3; accepted is an object or a string"),
        ('{"text": "", "budget_ms": 0}', "budget_ms: is 0; accepted is a finite number above 0"),
        ('{"text": "", "offset": -1}', "offset: is -1; accepted is a whole number from 0 to"),
        ('{"text": "", "offset": 0, "cursor": "x"}', "offset and cursor exclude each other"),
        ('{"text": "", "sort": 3}', "sort: is 3; accepted is a string or an object"),
        ('{"text": "", "sort": {"by": "p"}}', "sort.by: unknown field; accepted: field, order"),
        (
            '{"text": "", "sort": {"field": "p", "order": "up"}}',
            'sort.order: is "up"; accepted is "asc" or "desc"',
        ),
        ('{"text": "", "explain": true, "size": 51}', "accepted are 1 to 50 then"),
        ('{"text": "", "explain": true, "sort": "p"}', "sort bypasses the cascade"),
        ('{"text": "", "query_id": ""}', 'query_id: is ""; accepted is a string'),
    ],
)
def test_a_search_body_is_refused_with_its_reason(raw, said):
    error = refusal(raw)
    assert error.status == 422
    assert any(said in line for line in error.problems), error.problems


def test_every_problem_is_told_at_once():
    error = refusal('{"txt": "cup", "size": 0, "facets": 1}')
    assert sorted(line.split(":")[0] for line in error.problems) == [
        "facets",
        "size",
        "txt",
    ]


def test_a_text_of_a_megabyte_is_refused_by_its_length():
    error = refusal('{"text": "' + "x" * 1_000_000 + '"}')
    assert error.problems == (
        "text: is a string of 1,000,000 characters; "
        "accepted is a string of at most 10,000 characters",
    )


@pytest.mark.parametrize(
    ("raw", "position"),
    [
        (b'{"text": "cup", "preference": {"a": NaN}}', "line 1 column 37 (char 36)"),
        (b'{"text": "cup",\n "preference": {"a": -Infinity}}', "line 2 column"),
    ],
)
def test_nan_is_no_json_and_the_message_says_where(raw, position):
    error = refusal(raw)
    assert error.status == 400
    assert position in str(error)
    assert "JSON has no NaN and no Infinity, accepted are finite numbers" in str(error)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"text": "\xff"}', b'{"text": "\\ud800"}'])
def test_what_is_no_json_is_refused_as_such(raw):
    error = refusal(raw)
    assert error.status == 400
    assert "not valid JSON" in str(error)
    assert "NaN" not in str(error)


@pytest.mark.parametrize(
    ("candidates", "said"),
    [
        ('{"ids": ["a", "a"], "scores": [1, 2]}', "has 2 ids, 1 of them distinct, and 2 scores"),
        ('{"ids": ["a"], "scores": [1, 2]}', "has 1 ids, 1 of them distinct, and 2 scores"),
        ('{"ids": [1], "scores": [1]}', "candidates.ids[0]: is 1; accepted is a string"),
        ('{"ids": ["a"], "scores": ["x"]}', 'candidates.scores[0]: is "x"; accepted is a finite'),
        ('{"ids": ["a"], "scores": [1e300]}', "candidates.scores[0]: is 1e+300; accepted is a"),
        ('{"ids": ["a"], "score": [1]}', "did you mean 'scores'? accepted: ids, scores"),
        ('["a"]', 'candidates: is ["a"]; accepted is an object'),
        ("{}", "candidates.ids: is missing; accepted is a list of strings of at most 10,000"),
    ],
)
def test_candidates_are_refused_with_their_reason(candidates, said):
    error = refusal(f'{{"text": "cup", "candidates": {candidates}}}', RankBody)
    assert any(said in line for line in error.problems), error.problems


def test_more_than_ten_thousand_candidates_are_refused():
    ids = ",".join(f'"{i}"' for i in range(10_001))
    raw = f'{{"text": "", "candidates": {{"ids": [{ids}], "scores": []}}}}'
    assert refusal(raw, RankBody).problems == (
        "candidates.ids: is a list of 10,001 entries; accepted is a list of strings "
        "of at most 10,000 entries",
    )


def test_a_flood_of_problems_is_cut():
    scores = ",".join(['"x"'] * 300)
    raw = f'{{"text": "", "candidates": {{"ids": [], "scores": [{scores}]}}}}'
    problems = refusal(raw, RankBody).problems
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1] == "and 250 more"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ('"price"', Sort("price")),
        ('"-price"', Sort("price", descending=True)),
        ('{"field": "price"}', Sort("price")),
        ('{"field": "price", "order": "desc"}', Sort("price", descending=True)),
        ("null", None),
    ],
)
def test_sort_has_two_forms(given, meant):
    assert decoded(f'{{"text": "", "sort": {given}}}'.encode(), SearchBody).sorting() == meant
