"""Finding out what kind of server answers at an address."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import orjson

from cascade.errors import EngineUnavailableError, InputError

TIMEOUT_S = 10.0


def detect(url: str) -> str:
    """Return the kind of the server at an address.

    Raises:
        InputError: If what answers is none that is known, or does not say.
        EngineUnavailableError: If nothing answers.
    """
    root = url.rstrip("/")
    answer = _get(f"{root}/")
    version = answer.get("version") if answer is not None else None
    if isinstance(version, Mapping):
        return "opensearch" if version.get("distribution") == "opensearch" else "elasticsearch"
    solr = root if root.endswith("/solr") else f"{root}/solr"
    told = _get(f"{solr}/admin/info/system?wt=json")
    if told is not None and "lucene" in told:
        if solr != root:
            raise InputError(f"a Solr answers at {solr}; give that as --engine-url")
        return "solr"
    raise InputError(
        f"{url} does not say what it is (does it ask for a password?); accepted are "
        "Elasticsearch, OpenSearch and Solr: name it by --kind"
    )


def _get(url: str) -> Mapping[str, Any] | None:
    """Return the JSON object at an address, None if there is something else."""
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url} is no address; accepted is one such as http://localhost:9200")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            found = orjson.loads(answer.read())
    except (urllib.error.HTTPError, orjson.JSONDecodeError):
        return None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise EngineUnavailableError(f"nothing answers at {url}: {reason}") from None
    return found if isinstance(found, dict) else None
