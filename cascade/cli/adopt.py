"""`cascade adopt`: from a running index and its query to a configuration."""

from __future__ import annotations

from pathlib import Path

import click

from cascade.cli.console import FILE, console, json_option, print_json, told
from cascade.engines.mappings import SERVERS
from cascade.workflows.adopt import Adopted, Takeover
from cascade.workflows.adopt import adopt as take_over
from cascade.workflows.blindness import WARNED_SHARE


@click.command()
@click.option("--engine-url", "url", required=True, help="Where the server is.")
@click.option("--index", required=True, help="The index or alias that is searched.")
@click.option(
    "--query", "search", type=FILE, required=True, help="The body of your search, in JSON."
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Where the configuration goes; new or empty.",
)
@click.option("--kind", type=click.Choice(SERVERS), help="What the server is; default: ask it.")
@click.option(
    "--queries", type=FILE, help="Texts that people ask for, one a line, to try the schema on."
)
@click.option(
    "--auth", type=click.Choice(["basic", "api_key", "bearer"]), help="How to say who we are."
)
@click.option("--user", default="", help="The name, for basic.")
@click.option("--secret-env", help="The variable that holds the password, API key or token.")
@json_option
@told
def adopt(
    url: str,
    index: str,
    search: Path,
    folder: Path,
    kind: str | None,
    queries: Path | None,
    auth: str | None,
    user: str,
    secret_env: str | None,
    as_json: bool,
) -> None:
    """Write a configuration and a schema from a running index and the query that you have."""
    if (auth is None) != (secret_env is None):
        raise click.UsageError("--auth and --secret-env go together")
    given = {"kind": auth, "user": user, "secret_env": secret_env} if auth else {}
    lines = queries.read_text(encoding="utf-8").splitlines() if queries else []
    takeover = Takeover(
        url=url,
        index=index,
        search=search,
        kind=kind,
        auth=tuple((key, value) for key, value in given.items() if value),
        queries=tuple(line.strip() for line in lines if line.strip()),
    )
    adopted = take_over(takeover, folder)
    if as_json:
        print_json({**_plain(adopted), "blind_share": round(adopted.blind.share, 4)})
    else:
        _tell(adopted)


def _plain(adopted: Adopted) -> dict[str, object]:
    return {name: getattr(adopted, name) for name in adopted.__dataclass_fields__}


def _tell(adopted: Adopted) -> None:
    out = console()
    out.print(
        f"{adopted.kind}: {adopted.fields} fields, searched {', '.join(adopted.searched)}",
        soft_wrap=True,
    )
    for path in adopted.files:
        out.print(f"  wrote {path}", soft_wrap=True)
    for note in adopted.notes:
        out.print(f"  look at: {note}", soft_wrap=True)
    blind = adopted.blind
    if blind.unread:
        out.print(
            f"  {blind.unread:,} documents do not fit the schema; correct their fields' types",
            soft_wrap=True,
        )
    out.print(
        f"{blind.blind:,} of {blind.rows:,} rows found ({blind.share:.1%}) have no term of their "
        f"query in a field of the schema ({blind.queries} queries)",
        soft_wrap=True,
    )
    if blind.share > WARNED_SHARE:
        out.print(
            f"Warning: above {WARNED_SHARE:.0%}, the engine matches by something that the schema "
            "does not know (a field, synonyms, parts of words):",
            soft_wrap=True,
        )
        for text, doc_id in blind.examples:
            out.print(f"  {text!r} finds {doc_id}", soft_wrap=True)
    if not blind.queries:
        out.print(
            "Warning: the search was not tried: no text to ask for was found in the index; give "
            "some with --queries",
            soft_wrap=True,
        )
    elif not blind.rows or blind.empty * 2 > blind.queries:
        out.print(
            f"Warning: {blind.empty} of {blind.queries} texts find nothing: a filter that was left "
            "in the template may be that of one visitor; take it out of query.json",
            soft_wrap=True,
        )
    out.print(f"Next, in {adopted.files[0].parent}:")
    for command in ("index build", "train --judgments FILE", "serve"):
        out.print(f"  cascade {command}")
