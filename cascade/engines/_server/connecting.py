"""Reaching a server: who we are, what we trust, what it answers, and that it was too slow."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass

from cascade.engines.connection import Auth, Connection
from cascade.errors import DeadlineError, EngineError, EngineUnavailableError


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what a server said: the HTTP status and the body, not decoded."""

    status: int
    body: bytes


def late(where: str, asked: object, limit_s: float, *, by_deadline: bool) -> EngineError:
    """Return the error that a server did not answer in time.

    Args:
        where: The server in words.
        asked: What it was asked.
        limit_s: How long it had.
        by_deadline: Whether that was all the time that a request had left.
    """
    message = f"{where} did not answer {asked} within {max(limit_s, 0):.3g} s"
    if by_deadline:
        return DeadlineError(f"{message}, which was all the time that was left")
    return EngineUnavailableError(f"{message}; raise the timeout or look at the server's load")


def tls_of(connection: Connection) -> ssl.SSLContext:
    """Return what a server's certificate is checked against: the system's roots and our own."""
    context = ssl.create_default_context()
    if connection.ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(connection.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise EngineError(
                f"the certificate authority {connection.ca_file} cannot be read: {error}; give a "
                "file in PEM form"
            ) from error
    return context


def address(kind: str, connection: Connection) -> str:
    """Return a server in words, without passwords."""
    names = [url.rpartition("@")[2] if "@" in url else url for url in connection.urls]
    return f"{kind} at {', '.join(names) or 'the cloud id'}"


def authorization(auth: Auth) -> str:
    """Return the value of the HTTP header `Authorization`."""
    if auth.kind == "basic":
        return "Basic " + base64.b64encode(f"{auth.user}:{auth.secret}".encode()).decode()
    if auth.kind == "api_key":
        # A key is given as the server prints it, encoded, or as `id:key`.
        plain = ":" in auth.secret
        return "ApiKey " + (
            base64.b64encode(auth.secret.encode()).decode() if plain else auth.secret
        )
    return f"Bearer {auth.secret}"
