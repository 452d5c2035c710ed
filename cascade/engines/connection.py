"""How a server is reached, and how it is asked: plain values, the same for every server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Auth:
    """Say who we are.

    Attributes:
        kind: How it is said.
        user: The name, for "basic".
        secret: The password, API key or token; never shown.
        region: For "sigv4".
        service: For "sigv4": "es", or "aoss" for a serverless collection.
    """

    kind: Literal["basic", "api_key", "bearer", "sigv4"]
    user: str = ""
    secret: str = ""
    region: str = ""
    service: str = "es"

    def __repr__(self) -> str:
        """Leave the secret out."""
        return f"Auth(kind={self.kind!r}, user={self.user!r})"


@dataclass(frozen=True, slots=True)
class Connection:
    """Say where a server is and how it is spoken to.

    Attributes:
        urls: Its nodes; a request goes to one that answers.
        auth: Who we are, if the server asks.
        ca_file: The certificate authority to trust, beside those of the system.
        verify: Whether the server's certificate is checked.
        cloud_id: The id of a hosted Elasticsearch; then there are no urls.
        timeout_s: How long a request may take that has no deadline.
        pool: How many connections to each node are kept open.
    """

    urls: tuple[str, ...] = ()
    auth: Auth | None = None
    ca_file: Path | None = None
    verify: bool = True
    cloud_id: str | None = None
    timeout_s: float = 30.0
    pool: int = 16


@dataclass(frozen=True, slots=True)
class Matching:
    """Say what a text must match and what that counts, beside the fields' own boosts.

    Attributes:
        phrase_boost: What the words side by side add, for each field in its boost; 0 adds nothing.
        phrase_slop: How many places they may be apart.
        typos: Whether a word may differ by a letter or two (the server's own "AUTO").
        template: A query body of a team's own, in JSON; the string `"{{query}}"` in it stands for
            the text and `"{{filters}}"` for the filters, both placed as data. None takes ours.
        total_cap: Up to which number matches are counted; beyond, the total says "gte".
        vector_field: The vector field whose nearest neighbours are fused with the text's matches.
        analysed: "ours" sends the terms of the schema's analysers, which are those that our
            mappings index by; "server" sends the text for the server to analyse.
        id_field: In an index of others, the keyword field with doc values that holds the id; None
            reads the server's own.
    """

    phrase_boost: float = 0.0
    phrase_slop: int = 0
    typos: bool = False
    template: str | None = None
    total_cap: int = 10_000
    vector_field: str | None = None
    analysed: Literal["ours", "server"] = "ours"
    id_field: str | None = None


@dataclass(frozen=True, slots=True)
class IndexShape:
    """Say how an index of ours is laid out on its server.

    Attributes:
        shards: Into how many parts it is split.
        replicas: How many copies each part has besides the first.
        refresh_s: After how many seconds a change is seen by searches.
        config_set: The configset that a Solr core or collection is made from.
    """

    shards: int = 1
    replicas: int = 0
    refresh_s: float = 1.0
    config_set: str = "_default"
