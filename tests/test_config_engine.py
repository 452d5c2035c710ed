"""The settings of a server: what is accepted, and what is said of what is not."""

import pytest

from cascade.config import load_config
from cascade.config.engines import connection_of
from cascade.errors import ConfigError

SCHEMA = '[fields.title]\ntype = "text"\n'
BASE = '[index]\nschema = "schema.toml"\n'


@pytest.fixture
def path(tmp_path):
    (tmp_path / "schema.toml").write_text(SCHEMA)
    found = tmp_path / "cascade.toml"
    found.write_text(BASE)
    return found


def loaded(path, *overrides):
    return next(iter(load_config(path, overrides).values()))


def refused(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return "\n".join(caught.value.problems)


SOLR = 'engine.kind="solr"'


def test_one_address_or_several(path):
    one = loaded(path, SOLR, 'engine.url="http://a:8983/solr/"')
    assert connection_of(one).urls == ("http://a:8983/solr",)
    two = loaded(path, SOLR, 'engine.url=["http://a:1", "https://b:2"]')
    assert connection_of(two).urls == ("http://a:1", "https://b:2")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("5", "engine.url: is 5; input should be a valid list"),
        ("true", "engine.url: is True"),
        ('["http://a:1", 5]', "engine.url[1]: is 5"),
        ('""', "engine.url[0]: is ''; accepted is an address such as http://localhost:9200"),
        ('"localhost:9200"', "is 'localhost:9200'; accepted is an address such as"),
        ('["http://a:1", "ftp://b:2"]', "engine.url[1]: is 'ftp://b:2'; accepted is an address"),
    ],
)
def test_an_address_that_is_none_is_refused(path, given, said):
    assert said in refused(path, SOLR, f"engine.url={given}")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([SOLR], "needs one of url and cloud_id; neither is given"),
        ([SOLR, 'engine.cloud_id="x"'], 'cloud_id is of kind = "elasticsearch", not "solr"'),
        (['engine.url="http://a:1"'], 'kind = "embedded" has no server'),
        (["engine.owned=false"], 'kind = "embedded" has no server'),
        ([SOLR, 'engine.url="http://a:1"', 'engine.index="Shop"'], "'Shop' has capitals"),
        (
            [SOLR, 'engine.url="http://a:1"', 'engine.auth.kind="sigv4"'],
            'auth.kind = "sigv4" is of kind = "opensearch", not "solr"',
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(path, overrides, said):
    assert said in refused(path, *overrides)


def test_a_secret_comes_from_the_environment_and_is_never_shown(path, monkeypatch):
    table = 'engine.auth={kind="basic", user="shop", secret_env="SHOP_PASSWORD"}'
    config = loaded(path, SOLR, 'engine.url="http://a:1"', table)
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match="SHOP_PASSWORD is not set in the environment"):
        connection_of(config)
    monkeypatch.setenv("SHOP_PASSWORD", "tell-nobody")
    connection = connection_of(config)
    assert connection.auth.secret == "tell-nobody"
    assert "tell-nobody" not in repr(connection)
    without = loaded(path, SOLR, 'engine.url="http://a:1"', 'engine.auth.kind="bearer"')
    with pytest.raises(ConfigError, match='kind = "bearer" needs secret_env'):
        connection_of(without)


def test_the_store_cannot_be_its_own_cache(path):
    said = refused(path, 'index.store="var/x"', 'index.cache="var/x"')
    assert "index: cache: is 'var/x', which is the store" in said
    assert loaded(path, 'index.store="var/x"', 'index.cache="var/y"').settings.index.cache
