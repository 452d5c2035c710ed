"""Configuration: every error at once, overrides, several cascades, and what is wired from it."""

from pathlib import Path

import pytest

from cascade.config import features_of, load_config, open_cascade, schema_of
from cascade.config.wire import stage_features
from cascade.errors import ConfigError, NotFoundError
from tests.bookshop import SCHEMA

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
features = ["bm25_*", "price"]
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


def test_a_stage_reads_the_features_that_its_patterns_name(tmp_path):
    config = load_config(
        written(tmp_path),
        [
            'features.add=[{kind="number", name="price", field="price"}]',
            'features.remove=["price"]',
        ],
    )
    with pytest.raises(ConfigError, match="'price' names no feature"):
        features_of(config["books"], schema_of(config["books"]))
    config = load_config(
        written(tmp_path), ['features.add=[{kind="number", name="price", field="price"}]']
    )
    schema = schema_of(config["books"])
    features = features_of(config["books"], schema)
    chosen = stage_features(config["books"], config["books"].settings.stages[1], features, schema)
    assert set(chosen.names) >= {"bm25_title", "bm25_blurb", "price"}
    assert not any(name.startswith("coverage") for name in chosen.names)


def test_a_formula_brings_what_it_reads(tmp_path):
    config = load_config(written(tmp_path), ['stages.1.features=["bm25_sum"]'])["books"]
    schema = schema_of(config)
    chosen = stage_features(config, config.settings.stages[1], features_of(config, schema), schema)
    assert set(chosen.names) == {"bm25_sum", "bm25_title", "bm25_blurb"}


def test_a_pattern_that_names_nothing_is_refused(tmp_path):
    config = load_config(written(tmp_path), ['stages.1.features=["bm25_titel"]'])["books"]
    schema = schema_of(config)
    with pytest.raises(ConfigError, match="did you mean 'bm25_title'"):
        stage_features(config, config.settings.stages[1], features_of(config, schema), schema)


def test_a_feature_module_that_is_missing_is_named(tmp_path):
    config = load_config(written(tmp_path), ['features.modules=["no_such_shop"]'])["books"]
    with pytest.raises(ConfigError, match="cannot import 'no_such_shop'"):
        features_of(config, schema_of(config))


def test_a_cascade_without_an_index_says_how_to_build_one(tmp_path):
    config = load_config(written(tmp_path))["books"]
    with pytest.raises(NotFoundError, match="`cascade index build --input FILE` makes one"):
        open_cascade(config)
