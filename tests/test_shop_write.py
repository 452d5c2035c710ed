import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.judgments import JudgmentColumns, read_judgments
from cascade.shop import REFERENCE_EPOCH_S, ShopSpec, write_shop
from cascade.shop.spec import BLOCK_ROWS, blocks, stream
from cascade.shop.write import FILES

SPEC = ShopSpec(seed=21, listings=2_500, sellers=60, queries=150, sessions=600)
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_shop(SPEC, tmp_path_factory.mktemp("shops") / "shop")


@pytest.fixture(scope="module")
def products(shop):
    return lines(shop.products)


@pytest.fixture(scope="module")
def searches(shop):
    return lines(shop.query_log)


@pytest.fixture(scope="module")
def events(shop):
    return lines(shop.event_log)


@pytest.fixture(scope="module")
def truth(shop):
    return json.loads(shop.truth.read_text("utf-8"))


def lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def sums(folder):
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES.values()
    }


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(shop, tmp_path):
    again = sums(write_shop(SPEC, tmp_path / "again").folder)
    assert again == sums(shop.folder)
    other = ShopSpec(seed=22, listings=2_500, sellers=60, queries=150, sessions=600)
    changed = sums(write_shop(other, tmp_path / "other").folder)
    assert not set(changed.values()) & set(again.values())


def test_bytes_do_not_depend_on_the_hash_seed(shop, tmp_path):
    code = (
        "from pathlib import Path; from cascade.shop import ShopSpec, write_shop; "
        f"write_shop(ShopSpec(21, 2500, 60, 150, 600), Path({str(tmp_path / 'shop')!r}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
    assert sums(tmp_path / "shop") == sums(shop.folder)


def test_more_sessions_change_no_listing_and_no_judgment(shop, tmp_path):
    busy = ShopSpec(seed=21, listings=2_500, sellers=60, queries=150, sessions=700)
    other = sums(write_shop(busy, tmp_path / "busy").folder)
    same = {name for name, value in sums(shop.folder).items() if other[name] == value}
    assert same == {"products.ndjson", "synonyms.txt", "queries.tsv", "judgments.tsv"}


def test_counts_are_those_of_the_files(shop, products, searches, events):
    assert shop.counts["listings"] == len(products) == SPEC.listings
    assert shop.counts["search"] == len(searches)
    actions = Counter(event["action_name"] for event in events)
    for action in ("impression", "click", "favourite", "add_to_cart", "purchase"):
        assert shop.counts[action] == actions[action] > 0
    judged = shop.judgments.read_text("utf-8").splitlines()
    assert shop.counts["judgments"] == len(judged) - 1
    assert shop.counts["queries"] == len(shop.query_table.read_text("utf-8").splitlines()) - 1
    assert sorted(path.name for path in shop.folder.iterdir()) == sorted(FILES.values())


def test_documents_have_their_fields_and_miss_some(products):
    always = {
        "id": str,
        "title": str,
        "description": str,
        "tags": list,
        "category": str,
        "category_path": list,
        "price": float,
        "margin": float,
        "seller": str,
        "seller_name": str,
        "seller_age_days": int,
        "new_seller": bool,
        "stock": int,
        "created": str,
        "reviews": int,
        "photos": int,
        "favourites": int,
        "one_of_a_kind": bool,
    }
    sometimes = {"brand": str, "colour": str, "material": str, "rating": float}
    for product in products:
        assert set(always) <= set(product) <= {*always, *sometimes}
        for name, value in product.items():
            assert type(value) is (always | sometimes)[name], name
    share = {name: np.mean([name in product for product in products]) for name in sometimes}
    assert share["colour"] == pytest.approx(0.85, abs=0.03)
    assert share["material"] == pytest.approx(0.65, abs=0.04)
    assert 0.4 < share["brand"] < 0.85
    assert 0.4 < share["rating"] < 0.95


def test_documents_are_sound(products):
    assert len({product["id"] for product in products}) == len(products)
    today = datetime.fromtimestamp(REFERENCE_EPOCH_S, UTC).date()
    for product in products:
        assert 0 < product["margin"] < 1
        assert product["price"] == round(product["price"], 2) > 0
        assert product["category_path"][-1] == product["category"]
        age = (today - datetime.fromisoformat(product["created"]).date()).days
        assert 0 <= age <= product["seller_age_days"] + 1
        assert product["new_seller"] == (product["seller_age_days"] < 60)
        assert all(isinstance(tag, str) and tag for tag in product["tags"])
    assert any(product["new_seller"] for product in products)
    shares = np.mean([[p["one_of_a_kind"], p["stock"] == 0] for p in products], axis=0)
    assert shares == pytest.approx([0.12, 0.04], abs=0.025)


def test_searches_have_the_shape_of_ubi(searches, products):
    known = {product["id"] for product in products}
    for search in searches:
        assert set(search) == {
            "application",
            "query_id",
            "client_id",
            "user_query",
            "query_attributes",
            "object_id_field",
            "query_response_id",
            "query_response_hit_ids",
            "timestamp",
        }
        hits = search["query_response_hit_ids"]
        assert 0 < len(hits) == len(set(hits))
        assert set(hits) <= known
        assert search["object_id_field"] == "id"
        assert len(search["query_id"]) <= 100
    assert len({search["query_id"] for search in searches}) == len(searches)
    surfaces = Counter(search["query_attributes"]["surface"] for search in searches)
    assert set(surfaces) == {"web", "app", "email"}


def test_a_shuffled_page_states_the_chance_of_each_of_its_places(searches):
    ways = Counter()
    for search in searches:
        attributes, size = search["query_attributes"], len(search["query_response_hit_ids"])
        ways[attributes["ranking"]] += 1
        drawn = attributes["ranking"] == "shuffled"
        assert attributes.get("propensities") == ([1 / size] * size if drawn else None)
    assert set(ways) == {"lexical", "shuffled"}


def test_events_have_the_shape_of_ubi_and_join_their_search(searches, events):
    by_id = {search["query_id"]: search for search in searches}
    for event in events:
        search = by_id[event["query_id"]]
        attributes = event["event_attributes"]
        rank = attributes["position"]["ordinal"]
        shown = search["query_response_hit_ids"][rank - 1]
        assert attributes["object"] == {"object_id": shown, "object_id_field": "id"}
        assert attributes["surface"] == search["query_attributes"]["surface"]
        assert event["session_id"] == search["query_attributes"]["session_id"]
        assert event["client_id"] == search["client_id"]
        assert event["timestamp"] >= search["timestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["timestamp"])
    shown = sum(len(search["query_response_hit_ids"]) for search in searches)
    assert shown == sum(event["action_name"] == "impression" for event in events)
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)


def test_an_event_follows_what_it_needs(events):
    needs = {
        "click": "impression",
        "favourite": "click",
        "add_to_cart": "click",
        "purchase": "add_to_cart",
    }
    at = {}
    for event in events:
        pair = (event["query_id"], event["event_attributes"]["object"]["object_id"])
        at[event["action_name"], *pair] = event["timestamp"]
    for (action, *pair), time in at.items():
        if action in needs:
            assert at[needs[action], *pair] < time


def test_judgments_read_as_the_package_reads_them(shop, products, truth):
    columns = JudgmentColumns(query_id="query_id")
    judgments = read_judgments(shop.judgments, columns)
    assert judgments.texts == {query["query_id"]: query["query"] for query in truth["queries"]}
    known = {product["id"] for product in products}
    for graded in judgments.grades.values():
        assert set(graded) <= known
        assert set(graded.values()) <= {0.0, 1.0, 2.0, 3.0}


def test_the_synonym_file_knows_only_a_part(shop, truth):
    rows = shop.synonyms.read_text("utf-8").splitlines()
    known = [row.split(", ") for row in rows if not row.startswith("#")]
    assert known == [group["known"] for group in truth["synonyms"] if group["known"]]
    assert len(known) == shop.counts["synonyms"]
    assert len(known) >= 30
    assert 0.4 < len(known) / len(truth["synonyms"]) < 0.7
    for group in truth["synonyms"]:
        assert group["known"] == group["forms"][: len(group["known"])]
        assert len(group["known"]) != 1


def test_the_query_table_agrees_with_the_truth(shop, truth):
    head, *rows = (row.split("\t") for row in shop.query_table.read_text("utf-8").splitlines())
    assert head == ["query_id", "query", "frequency", "segment"]
    arrays = np.load(shop.truth_arrays)
    assert [int(row[2]) for row in rows] == arrays["query_frequency"].tolist()
    assert [row[3] for row in rows] == [query["segment"] for query in truth["queries"]]
    assert [row[1] for row in rows] == [query["query"] for query in truth["queries"]]


def test_truth_has_a_row_for_every_listing_query_and_session(shop, products, truth):
    arrays = np.load(shop.truth_arrays)
    rows = {"listing": SPEC.listings, "seller": 60, "query": 150, "session": 600}
    for name in arrays.files:
        assert len(arrays[name]) == rows[name.split("_")[0]], name
    assert (arrays["session_price_sensitivity"] < 0).all()
    concepts = truth["concepts"]
    colour = arrays["listing_attributes"][:, truth["attributes"].index("colour")]
    for row, product in enumerate(products):
        if "colour" in product:
            assert product["colour"] == concepts[colour[row]]["forms"][0]


def test_a_shop_without_visits_and_the_smallest_shop(tmp_path):
    tiny = write_shop(ShopSpec(listings=1, sellers=1, queries=1, sessions=0), tmp_path / "tiny")
    assert len(lines(tiny.products)) == 1
    assert tiny.query_log.read_bytes() == tiny.event_log.read_bytes() == b""
    assert tiny.counts["search"] == 0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"listings": 0}, r"listings is 0; give a whole number from 1 to"),
        ({"sellers": -1}, r"sellers is -1"),
        ({"queries": 2.5}, r"queries is 2\.5"),
        ({"sessions": -1}, r"sessions is -1; give a whole number from 0"),
        ({"seed": "x"}, r"seed is 'x'"),
        ({"listings": True}, r"listings is True"),
        ({"listings": 0, "queries": 0}, r"listings is 0.*; queries is 0"),
    ],
)
def test_a_spec_that_makes_no_shop_is_refused(tmp_path, wrong, told):
    with pytest.raises(InputError, match=told):
        write_shop(ShopSpec(**wrong), tmp_path / "shop")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious", "utf-8")
    with pytest.raises(InputError, match=r"holds files that are no shop's, such as 'thesis.txt'"):
        write_shop(SPEC, tmp_path)
    assert (tmp_path / "thesis.txt").read_text("utf-8") == "precious"


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "shop").write_text("", "utf-8")
    with pytest.raises(InputError, match=r"is a file; name a folder"):
        write_shop(SPEC, tmp_path / "shop")


def test_an_older_shop_is_replaced_and_kept_where_writing_fails(tmp_path):
    small = ShopSpec(seed=1, listings=30, sellers=3, queries=5, sessions=2)
    old = sums(write_shop(small, tmp_path / "shop").folder)

    def stop(part, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shop(ShopSpec(2, 30, 3, 5, 2), tmp_path / "shop", stop)
    assert sums(tmp_path / "shop") == old
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]
    write_shop(ShopSpec(2, 30, 3, 5, 2), tmp_path / "shop")
    assert sums(tmp_path / "shop") != old


def test_progress_ends_with_all_of_every_part(tmp_path):
    told = []
    write_shop(SPEC, tmp_path / "shop", lambda *news: told.append(news))
    last = {part: (done, total) for part, done, total in told}
    assert last == {
        "listings": (2_500, 2_500),
        "queries": (150, 150),
        "judgments": (150, 150),
        "visitors": (600, 600),
    }
    for part in last:
        done = [news[1] for news in told if news[0] == part]
        assert done == sorted(done)


def test_streams_are_apart():
    draws = {
        float(stream(seed, part, block).random())
        for seed in (1, 2)
        for part in ("listings", "wording")
        for block in (0, 1)
    }
    assert len(draws) == 8
    assert stream(1, "listings").random() == stream(1, "listings").random()


def test_blocks_cover_every_row_once():
    one, two = BLOCK_ROWS, 2 * BLOCK_ROWS
    covered = [row for _, start, stop in blocks(two + 1) for row in (start, stop)]
    assert covered == [0, one, one, two, two, two + 1]
    assert blocks(0) == []
