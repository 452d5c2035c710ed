"""Configuration: every error at once, overrides, several cascades, and what is wired from it."""

import json
import sys
from pathlib import Path

import pytest

from cascade.config import (
    features_of,
    load_config,
    open_cascade,
    open_cascades,
    schema_of,
    store_of,
)
from cascade.config.wire import stage_features
from cascade.errors import ConfigError, NotFoundError
from cascade.registry import LIVE, Registry
from cascade.workflows import build_index
from tests.bookshop import SCHEMA, books
from tests.test_registry import saved

MODULE = """
raise RuntimeError("the shop is closed")
"""
GOOD = """
name = "books"
[index]
schema = "schema.toml"
store = "indexes"
[[stages]]
name = "linear"
ranker = "linear"
window = 100
[[stages]]
name = "trees"
ranker = "trees"
window = 30
features = ["bm25_*", "log_price"]
"""


def written(folder: Path, text: str = GOOD) -> Path:
    path = folder / "cascade.toml"
    path.write_text(text)
    (folder / "schema.toml").write_text(SCHEMA)
    return path


def problems(folder: Path, text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_config(written(folder, text), overrides)
    return caught.value.problems


def test_five_errors_are_told_at_once_with_their_key_paths(tmp_path):
    text = """
    [engine]
    kind = "embeded"
    [retrieval]
    size = "10"
    minimum_matc = 0.5
    [[stages]]
    name = "linear"
    ranker = "linaer"
    window = 0
    """
    found = problems(tmp_path, text)
    assert len(found) == 5
    for expected in (
        "engine.kind: is 'embeded'; did you mean 'embedded'?",
        "retrieval.size: is '10'; input should be a valid integer",
        "retrieval.minimum_matc: unknown key; did you mean 'minimum_match'?",
        "stages[0].ranker: is 'linaer'; did you mean 'linear'?",
        "stages[0].window: is 0; input should be greater than or equal to 1",
    ):
        assert any(p.startswith(expected) for p in found), (expected, found)


EVERY_SECTION = """
name = "books"
[engine]
kind = "embeded"
[index]
schema = "schema.toml"
[retrieval]
size = "10"
[features]
remove = ["nope*"]
modules = ["no_such_shop"]
[[stages]]
name = "linear"
ranker = "linaer"
window = 10
[[stages]]
name = "trees"
ranker = "trees"
window = 30
features = ["zzz*", "bm25_*"]
[[stages]]
name = "linear"
ranker = "trees"
[business]
windw = 10
[[business.rules]]
kind = "min_stock"
name = "in-stock"
field = "stok"
[evaluation]
measures = ["nDGC@10", "P@10"]
resamples = 1
"""


def test_every_section_is_checked_at_once(tmp_path):
    found = problems(tmp_path, EVERY_SECTION)
    expected = (
        "engine.kind: is 'embeded'; did you mean 'embedded'?",
        "retrieval.size: is '10'; input should be a valid integer",
        "stages[0].ranker: is 'linaer'; did you mean 'linear'?",
        "stages[2].window: is missing and has no default",
        "evaluation.resamples: is 1; ",
        "stages[1].window: 'trees' has window 30, more than the 10 of 'linear' (stages[0])",
        "stages[2].name: 'linear' is taken by stages[0]",
        "features.modules: cannot import 'no_such_shop'",
        "features.remove: 'nope*' names no feature; accepted: ",
        "stages[1].features: 'zzz*' of stage 'trees' names no feature; ",
        "business.windw: unknown key; did you mean 'window'?",
        "business.rules[0].field: ",
        "evaluation.measures: ",
    )
    for line in expected:
        assert sum(p.startswith(line) for p in found) == 1, (line, found)
    assert len(found) == len(expected), found


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no such schema file"),
        ("id = ", "not valid TOML"),
        ("[fields.title]\ntype = 'txt'\n", "fields.title.type: "),
    ],
)
def test_a_schema_that_is_not_sound_is_told_beside_the_rest(tmp_path, content, expected):
    path = written(tmp_path, GOOD + '[evaluation]\nmeasures = ["nDGC@10"]\n')
    (tmp_path / "schema.toml").unlink()
    if content is not None:
        (tmp_path / "schema.toml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    schema, measures = caught.value.problems
    assert schema.startswith(f"index.schema: schema.toml: {expected}")
    assert measures.startswith("evaluation.measures: ")


def test_a_schema_that_is_a_folder_is_refused(tmp_path):
    (found,) = problems(tmp_path, GOOD, "index.schema=.")
    assert found.startswith("index.schema: .: cannot be read: ")


def test_every_problem_of_a_schema_is_told(tmp_path):
    path = written(tmp_path)
    (tmp_path / "schema.toml").write_text(
        "[fields.title]\ntype = 'txt'\n[fields.price]\ntype = 'nmber'\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert [p.split(": ")[2] for p in caught.value.problems] == [
        "fields.title.type",
        "fields.price.type",
    ]


def test_what_needs_no_schema_is_checked_without_an_index(tmp_path):
    text = 'name = "rows"\n[judgments]\nformat = "svmlight"\n'
    assert load_config(written(tmp_path, text))["rows"].settings.index is None
    (found,) = problems(tmp_path, text, 'evaluation.measures=["nDGC@10"]')
    assert found.startswith("evaluation.measures: ")


def test_a_feature_that_is_added_is_told_by_its_own_place(tmp_path):
    (found,) = problems(
        tmp_path,
        GOOD,
        'stages.1.features=["*"]',
        'features.add=[{kind="number", name="p", field="price"},'
        '{kind="number", name="q", field="prise"}]',
    )
    assert found.startswith("features.add[1] (q).field: 'prise' is no field")


def test_a_standard_feature_that_lost_what_it_reads_is_told(tmp_path):
    (found,) = problems(tmp_path, GOOD, 'features.remove=["bm25_title"]')
    assert found.startswith("features.standard (bm25_sum).formula: 'bm25_title' is no feature")


def test_a_problem_that_cascades_share_is_told_once(tmp_path):
    text = GOOD + '[features]\nremove = ["nope*"]\n[cascades.mobile.retrieval]\nsize = 200\n'
    (found,) = problems(tmp_path, text)
    assert found.startswith("features.remove: 'nope*'")


def test_what_a_cascade_lays_over_is_checked_as_well(tmp_path):
    text = GOOD + '[cascades.mobile.features]\nremove = ["nope*"]\n'
    (found,) = problems(tmp_path, text)
    assert found.startswith("cascades.mobile.features.remove: 'nope*'")


def test_entries_of_the_wrong_form_hide_nothing(tmp_path):
    text = 'stages = [3, {name = "bm25"}]\nsplit = {test = 0.9, validation = 0.5}\nname = 7\n'
    found = problems(tmp_path, text, "evaluation.measures=[1, 'nDGC@10', 2]")
    starts = [p.split(":")[0] for p in found]
    assert sorted(starts) == [
        "evaluation.measures",
        "evaluation.measures[0]",
        "evaluation.measures[2]",
        "name",
        "split",
        "stages[0]",
        "stages[1].name",
        "stages[1].ranker",
        "stages[1].window",
    ]


def test_the_message_counts_the_problems_and_names_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"cascade\.toml: 1 problem\n  name: "):
        load_config(written(tmp_path, "name = 3"))


def test_a_syntax_error_has_line_and_column(tmp_path):
    (found,) = problems(tmp_path, "name = 'a'\nsize == 3")
    assert "line 2, column 7" in found


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(tmp_path / "nope.toml")


def test_windows_that_grow_are_refused_with_both_stages(tmp_path):
    found = problems(tmp_path, GOOD, "stages.1.window=200")
    assert "'trees' has window 200, more than the 100 of 'linear'" in found[0]


def test_stage_names_are_unique_and_not_reserved(tmp_path):
    assert "'linear' is taken" in problems(tmp_path, GOOD, 'stages.1.name="linear"')[0]
    assert "'bm25' is taken" in problems(tmp_path, GOOD, 'stages.1.name="bm25"')[0]


def test_a_split_that_leaves_nothing_is_refused(tmp_path):
    found = problems(tmp_path, GOOD, "split.test=0.9", "split.validation=0.1")
    assert "leave no query to train on" in found[0]


def test_overrides_are_toml_values_or_plain_strings(tmp_path):
    path = written(tmp_path)
    overrides = ["retrieval.size=50", "stages.1.window=7", "engine.index=novels"]
    settings = load_config(path, overrides)["books"].settings
    assert settings.retrieval.size == 50
    assert settings.stages[1].window == 7
    assert settings.engine.index == "novels"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("retrieval.size", "not of the form key.path=value"),
        ("stages.9.window=3", "'9' is no index of a list of 2"),
        ("name.more=3", "lies below a value that is no table"),
        ("retrievl.size=3", "did you mean 'retrieval'"),
    ],
)
def test_an_override_that_fits_nothing_is_refused(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(written(tmp_path), [override])


def test_cascades_are_laid_over_the_rest_of_the_file(tmp_path):
    text = GOOD + "[cascades.mobile.retrieval]\nsize = 200\n"
    configs = load_config(written(tmp_path, text))
    assert list(configs) == ["books", "mobile"]
    assert configs["mobile"].settings.retrieval.size == 200
    assert configs["books"].settings.retrieval.size == 1_000
    assert configs["mobile"].settings.stages == configs["books"].settings.stages


def test_a_problem_of_one_cascade_names_it(tmp_path):
    found = problems(tmp_path, GOOD + "[cascades.mobile.retrieval]\nsize = 0\n")
    assert found == (
        "cascades.mobile.retrieval.size: is 0; input should be greater than or equal to 1",
    )


def test_paths_are_relative_to_the_file(tmp_path):
    config = load_config(written(tmp_path))["books"]
    assert config.resolve("indexes") == tmp_path / "indexes"
    assert schema_of(config).id == "id"


def test_a_command_without_an_index_is_told_to_name_one(tmp_path):
    config = load_config(written(tmp_path, "name = 'rows'"))["rows"]
    with pytest.raises(ConfigError, match=r"needs an \[index\] with a schema"):
        schema_of(config)
    with pytest.raises(ConfigError, match=r"needs an \[index\] with a schema"):
        store_of(config)


def test_a_stage_reads_the_features_that_its_patterns_name(tmp_path):
    config = load_config(written(tmp_path))["books"]
    schema = schema_of(config)
    features = features_of(config, schema)
    chosen = stage_features(config, config.settings.stages[1], features, schema)
    assert set(chosen.names) >= {"bm25_title", "bm25_blurb", "log_price"}
    assert not any(name.startswith("coverage") for name in chosen.names)


def test_what_is_added_is_not_there_to_be_removed(tmp_path):
    found = problems(
        tmp_path,
        GOOD,
        'features.add=[{kind="number", name="cost", field="price"}]',
        'features.remove=["cost"]',
    )
    assert [p.split(";")[0] for p in found] == ["features.remove: 'cost' names no feature"]


def test_a_formula_brings_what_it_reads(tmp_path):
    config = load_config(written(tmp_path), ['stages.1.features=["bm25_sum"]'])["books"]
    schema = schema_of(config)
    chosen = stage_features(config, config.settings.stages[1], features_of(config, schema), schema)
    assert set(chosen.names) == {"bm25_sum", "bm25_title", "bm25_blurb", "stage:linear"}
    alone = load_config(config.path, ["stages.1.earlier_scores=false"])["books"]
    made = features_of(alone, schema)
    assert "stage:linear" not in stage_features(alone, alone.settings.stages[1], made, schema).names


def test_a_pattern_that_names_nothing_is_refused(tmp_path):
    (found,) = problems(tmp_path, GOOD, 'stages.1.features=["bm25_titel"]')
    assert found.startswith("stages[1].features: 'bm25_titel' of stage 'trees' names no feature")
    assert "did you mean 'bm25_title'" in found


def test_a_feature_module_that_cannot_be_imported_is_named(tmp_path, monkeypatch):
    (tmp_path / "closed_shop.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = problems(tmp_path, GOOD, 'features.modules=["no_such_shop", "closed_shop"]')
    assert found == (
        "features.modules: cannot import 'no_such_shop': "
        "ModuleNotFoundError: No module named 'no_such_shop'",
        "features.modules: cannot import 'closed_shop': RuntimeError: the shop is closed",
    )


def test_a_cascade_without_an_index_says_how_to_build_one(tmp_path):
    config = load_config(written(tmp_path))["books"]
    with pytest.raises(NotFoundError, match="`cascade index build` makes one"):
        open_cascade(config)


SHARED = """
name = "books"
[index]
schema = "schema.toml"
store = "indexes"
[[stages]]
name = "linear"
ranker = "linear"
window = 100
model = "books-linear"
[cascades.mobile.retrieval]
size = 50
[cascades.older]
stages = [{ name = "linear", ranker = "linear", window = 100, model = "books-linear@1" }]
"""


def test_cascades_of_one_file_share_what_they_have_in_common(tmp_path):
    configs = load_config(written(tmp_path, SHARED))
    (tmp_path / "books.ndjson").write_text("\n".join(map(json.dumps, books())))
    build_index(configs["books"], [tmp_path / "books.ndjson"])
    registry = Registry(tmp_path / "ltr_models")
    for _ in range(2):
        saved(registry, "books-linear")
    registry.point("books-linear", LIVE, 2)

    cascades = open_cascades(configs)
    try:
        first, mobile, older = (cascades[name] for name in ("books", "mobile", "older"))
        assert first.engine is mobile.engine is older.engine
        assert first.documents is mobile.documents is older.documents
        assert first.stages[0].ranker is mobile.stages[0].ranker
        assert older.stages[0].ranker is not first.stages[0].ranker
        assert [c.stages[0].model for c in cascades.values()] == [
            "books-linear/2",
            "books-linear/2",
            "books-linear/1",
        ]
        assert (first.size, mobile.size) == (1_000, 50)
    finally:
        # Each cascade may close what it holds, shared or not.
        for cascade in cascades.values():
            cascade.engine.close()


def test_a_cascade_that_cannot_be_opened_refuses_them_all(tmp_path):
    configs = load_config(written(tmp_path, SHARED))
    (tmp_path / "books.ndjson").write_text("\n".join(map(json.dumps, books(8))))
    build_index(configs["books"], [tmp_path / "books.ndjson"])
    with pytest.raises(NotFoundError, match="there is no model 'books-linear'"):
        open_cascades(configs)
