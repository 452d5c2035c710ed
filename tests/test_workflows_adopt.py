"""What is refused before anything is written, and what becomes of synonyms that are not ours."""

import json
import tomllib
from pathlib import Path

import pytest

from cascade.cli.adopt import _tell
from cascade.config.settings import CascadeSettings
from cascade.engines.adoption import FoundAnalysis
from cascade.engines.adoption import read_search as parts_of_search
from cascade.errors import EngineUnavailableError, InputError
from cascade.text import analyser
from cascade.workflows.adopt import Adopted, Takeover, _config_text, _write_synonyms, adopt
from cascade.workflows.blindness import Blindness

NOWHERE = "http://127.0.0.1:9"


def takeover(folder: Path, search: object) -> Takeover:
    path = folder / "existing.json"
    path.write_text(search if isinstance(search, str) else json.dumps(search))
    return Takeover(NOWHERE, "products", path)


def test_a_folder_with_files_is_left_alone(tmp_path: Path):
    with pytest.raises(InputError, match="is there already; name a new or empty folder"):
        adopt(takeover(tmp_path, {"query": {"match": {"a": "x"}}}), tmp_path)


@pytest.mark.parametrize(
    ("search", "message"), [("{", "is no JSON"), ([], "accepted is a JSON object")]
)
def test_a_file_that_is_no_search_is_refused(tmp_path: Path, search, message):
    with pytest.raises(InputError, match=message):
        adopt(takeover(tmp_path, search), tmp_path / "new")


def test_a_server_that_does_not_answer_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(EngineUnavailableError, match="nothing answers at"):
        adopt(takeover(tmp_path, {"query": {"match": {"a": "x"}}}), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["existing.json"]


def test_lines_that_do_not_fit_stay_as_comments(tmp_path: Path):
    lines = ("sofa, couch", "alone", "a => b => c", "sofa => bench", "telly => tv")
    path = tmp_path / "synonyms.txt"
    told = _write_synonyms(path, FoundAnalysis("plain", lines))
    assert told == ("3 lines of synonyms.txt do not fit ours",)
    assert path.read_text().splitlines() == [
        "sofa, couch",
        "# TODO: alone",
        "# TODO: a => b => c",
        "# TODO: sofa => bench",
        "telly => tv",
    ]
    assert analyser("plain", path).tokens("couch telly") == ["sofa", "tv"]


@pytest.mark.parametrize(
    ("index", "name"),
    [
        ("products", "products"),
        ("Shop.items_v2", "Shop-items_v2"),
        ("2024-products", "products"),
        (".hidden", "hidden"),
        ("商品", "search"),
    ],
)
def test_the_cascade_is_named_after_the_index(index: str, name: str):
    text = _config_text(
        Takeover(NOWHERE, index, Path("x")),
        "elasticsearch",
        parts_of_search("elasticsearch", {"query": {"match": {"title": "ring"}}}),
    )
    read = tomllib.loads(text)
    assert (read["name"], read["engine"]["index"]) == (name, index)
    assert CascadeSettings.model_validate({"name": read["name"]}).name == name


def told_of(capsys: pytest.CaptureFixture[str], blind: Blindness) -> str:
    files = (Path("mine/cascade.toml"), Path("mine/query.json"))
    _tell(Adopted(files, "solr", 3, ("title",), (), blind))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("blind", "warning"),
    [
        (Blindness(rows=0, blind=0, queries=4, empty=4), "4 of 4 texts find nothing"),
        (Blindness(rows=9, blind=0, queries=4, empty=3), "3 of 4 texts find nothing"),
        (Blindness(rows=0, blind=0, queries=0), "the search was not tried"),
    ],
)
def test_a_search_that_finds_nothing_is_warned_of(capsys, blind, warning):
    assert f"Warning: {warning}" in told_of(capsys, blind)


def test_the_next_steps_are_told_in_order(capsys):
    told = told_of(capsys, Blindness(rows=9, blind=0, queries=4, empty=2))
    assert "Warning" not in told
    assert told.splitlines()[-4:] == [
        "Next, in mine:",
        "  cascade index build",
        "  cascade train --judgments FILE",
        "  cascade serve",
    ]
