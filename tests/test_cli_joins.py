"""`cascade events join`, as it is called."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from small_log import DAY, write_log
from small_shop import CONFIG, write_shop

from cascade.cli import main

AT = 1_700_000_000.0
FEATURES = """
[features]
standard = false
add = [
  {kind = "count", name = "clicked", by = "document", action = "click", window_days = 30.0},
  {kind = "count", name = "sold", by = "group", field = "brand", action = "purchase"},
]
[events]
path = "log"
"""
CLICKED, SOLD = "count:document:click:30:inf", "count:group=brand:purchase:30:inf"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    (folder / "cascade.toml").write_text(CONFIG + FEATURES)
    searches = [("q1", "cup", AT, "s", ["d000", "d001"]), ("q2", "cup", AT + DAY, "s", ["d000"])]
    events = [("q1", "click", "d000", AT + 1, 1, "s"), ("q1", "purchase", "d005", AT + 2)]
    write_log(folder / "log", searches, events)
    return folder


def run(shop, *options):
    arguments = ["events", "join", str(shop / "joined.parquet"), *map(str, options)]
    return CliRunner().invoke(main, [*arguments, "--config", str(shop / "cascade.toml")])


def test_a_join_has_what_the_features_read_and_its_check_finds_a_planted_leak(shop):
    done = run(shop, "--histories", shop / "histories.parquet", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["rows"], told["searches"], told["outcomes"]["click"]) == (3, 2, 1)
    table = pq.read_table(shop / "joined.parquet")
    assert table[CLICKED].to_pylist() == [0, 0, 1]
    # d000 and d005 are of one brand.
    assert table[SOLD].to_pylist() == [0, 0, 1]
    histories = pq.read_table(shop / "histories.parquet").to_pylist()
    assert histories == [
        {"query_id": "q1", "history": []},
        {"query_id": "q2", "history": ["d000"]},
    ]
    checked = run(shop, "--check")
    assert checked.exit_code == 0, checked.output
    at = table.column_names.index(CLICKED)
    leaking = table.set_column(at, CLICKED, pa.array([1, 0, 1], pa.float32()))
    pq.write_table(leaking, shop / "joined.parquet")
    refused = run(shop, "--check")
    assert refused.exit_code == 4
    assert f"query q1, document d000: {CLICKED} is 1, the log says 0" in refused.stderr
    assert "1 values" in refused.stderr


def test_a_check_needs_a_file_and_writes_nothing(shop):
    assert run(shop, "--check", "--histories", "h.parquet").exit_code == 2
    (shop / "joined.parquet").unlink(missing_ok=True)
    missing = run(shop, "--check")
    assert missing.exit_code == 3
    assert "`cascade events join" in missing.stderr
