"""`cascade index update` and `follow`, as they are called."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from small_shop import DOCUMENTS, document, write_shop

from cascade.catalogue import Catalogue
from cascade.cli.updates import follow, update
from cascade.config import load_config, open_host, schema_of, store_of
from cascade.indexing.updates import open_live
from cascade.workflows.updates import log_of


@pytest.fixture
def shop(tmp_path):
    return write_shop(tmp_path)


def run(command, path, *options):
    arguments = ["--config", str(path), "--cascade", "plain", *map(str, options)]
    return CliRunner().invoke(command, arguments)


def lines(path, *documents):
    path.write_text("\n".join(d if isinstance(d, str) else json.dumps(d) for d in documents))
    return path


def prices(path):
    """Return the price of each document in the engine, as the live catalogue has it too."""
    config = load_config(path)["plain"]
    generation = store_of(config).live()
    catalogue = Catalogue.open(generation.catalogue, schema_of(config))
    live = open_live(catalogue, log_of(config), generation)
    rows = live.current().astype(np.int32)
    of_catalogue = dict(
        zip(live.ids(rows), live.numbers(["price"], rows)[:, 0].tolist(), strict=True)
    )
    documents = open_host(config).documents(generation.place.name)
    of_engine = {raw["id"]: raw["price"] for batch in documents for raw in batch}
    assert of_engine == of_catalogue
    return of_engine


EXPECTED = {d["id"]: d["price"] for d in DOCUMENTS}


def test_documents_are_put_in_changed_and_taken_away(shop, tmp_path):
    put = lines(tmp_path / "put.ndjson", {**document(7), "price": 1.5}, document(500))
    changed = lines(tmp_path / "changed.ndjson", {"id": "d500", "price": 2.5})
    gone = tmp_path / "gone.txt"
    gone.write_text("d003\n\nd004\n")
    options = ["--input", put, "--patch", changed, "--delete", "d002", "--delete-from", gone]
    done = run(update, shop, *options, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["upserts"], report["deletes"], report["position"]) == (3, 3, 6)
    assert report["generations"] == ["products-000001"]
    expected = {**EXPECTED, "d007": 1.5, "d500": 2.5}
    for doc_id in ("d002", "d003", "d004"):
        del expected[doc_id]
    assert prices(shop) == expected


def test_a_bad_line_changes_nothing_or_is_left_out(shop, tmp_path):
    put = lines(tmp_path / "put.ndjson", document(500), {"title": "no id"}, document(501), "{x")
    refused = run(update, shop, "--input", put, "--delete", "d001")
    assert refused.exit_code == 3
    assert "line 2" in refused.stderr
    assert "Nothing was changed" in refused.stderr
    assert prices(shop) == EXPECTED
    done = run(update, shop, "--input", put, "--on-error", "skip")
    assert done.exit_code == 0
    assert "2 put in, 0 taken away" in done.stdout
    assert "left out: put.ndjson, line 2" in done.stdout
    assert prices(shop).keys() == {*EXPECTED, "d500", "d501"}


def test_a_patch_of_nothing_is_refused(shop, tmp_path):
    changed = lines(tmp_path / "changed.ndjson", {"id": "nobody", "price": 2.5})
    done = run(update, shop, "--patch", changed)
    assert (done.exit_code, "'nobody'" in done.stderr) == (3, True)


def test_nothing_to_do_is_refused_and_a_heartbeat_is_something(shop):
    done = run(update, shop)
    assert (done.exit_code, "--input" in done.stderr) == (3, True)
    assert run(update, shop, "--heartbeat").exit_code == 0
    assert log_of(load_config(shop)["plain"]).position == 1
    assert prices(shop) == EXPECTED


def test_an_index_of_others_is_followed_and_one_of_ours_is_updated(shop):
    ours = run(follow, shop, "--once")
    assert (ours.exit_code, "owned = true" in ours.stderr) == (4, True)
    server = ["engine.kind='elasticsearch'", "engine.url='http://127.0.0.1:9'"]
    options = [f"--set={setting}" for setting in (*server, "engine.owned=false")]
    theirs = run(update, shop, "--delete", "d001", *options)
    assert (theirs.exit_code, "owned = false" in theirs.stderr) == (4, True)


def test_a_store_that_is_no_folder_cannot_hold_the_log(shop):
    store = ["--set=index.store='memory://bucket'", "--set=index.cache='cache'"]
    done = run(update, shop, "--heartbeat", *store)
    assert done.exit_code == 3
    assert "index.store" in done.stderr


def test_an_id_that_no_document_can_have_changes_nothing(shop, tmp_path):
    put = lines(tmp_path / "put.ndjson", document(500))
    done = run(update, shop, "--input", put, "--delete", "")
    assert done.exit_code == 3
    assert prices(shop) == EXPECTED
