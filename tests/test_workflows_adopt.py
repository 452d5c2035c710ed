"""What is refused before anything is written, and what becomes of synonyms that are not ours."""

import json
from pathlib import Path

import pytest

from cascade.engines.adoption import FoundAnalysis
from cascade.errors import EngineUnavailableError, InputError
from cascade.text import analyser
from cascade.workflows.adopt import Takeover, _write_synonyms, adopt

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
