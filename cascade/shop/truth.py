"""The planted truth of a shop, for tests that recover it and for people who look closer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import orjson

from cascade.shop import visitors
from cascade.shop.lexicon import ATTRIBUTE_KINDS, Lexicon
from cascade.shop.market import Market
from cascade.shop.queries import KINDS, SEGMENTS
from cascade.shop.spec import REFERENCE_EPOCH_S, ShopSpec, stream

COVERED_SHARE = 0.55
SHORTENED_SHARE = 0.5


@dataclass(frozen=True)
class SynonymGroup:
    """Hold forms that mean the same; the shop's synonym file has only the `known` ones."""

    kind: str
    forms: tuple[str, ...]
    known: tuple[str, ...]


def synonym_groups(spec: ShopSpec, lex: Lexicon) -> list[SynonymGroup]:
    """Return every group of synonyms; the shop knows about half, and some of those in part."""
    rng = stream(spec.seed, "synonyms")
    kinds = [kind for kind, (start, stop) in lex.spans.items() for _ in range(start, stop)]
    groups = []
    for concept, kind in enumerate(kinds):
        forms = lex.concept_forms(concept)
        if len(forms) < 2:
            continue
        covered, shortened = (rng.random(2) < (COVERED_SHARE, SHORTENED_SHARE)).tolist()
        known = (forms[:2] if shortened else forms) if covered else ()
        groups.append(SynonymGroup(kind, forms, known))
    return groups


def write_synonyms(path: Path, groups: list[SynonymGroup]) -> int:
    """Write the known synonyms in Solr's form; return how many groups they are."""
    lines = [", ".join(group.known) for group in groups if group.known]
    text = "\n".join(["# The synonyms that the shop knows; it lacks others.", *lines, ""])
    path.write_text(text, encoding="utf-8", newline="\n")
    return len(lines)


def write_truth(
    folder: Path,
    spec: ShopSpec,
    groups: list[SynonymGroup],
    market: Market,
    sessions: visitors.Sessions,
) -> None:
    """Write `truth.json` (constants and names) and `truth.npz` (one array a latent column)."""
    lex = market.lex
    truth = {
        "spec": asdict(spec),
        "reference_time": str(np.datetime64(REFERENCE_EPOCH_S, "s")) + "Z",
        "attributes": ATTRIBUTE_KINDS,
        "query_kinds": KINDS,
        "segments": SEGMENTS,
        "surfaces": visitors.SURFACES,
        "concepts": [
            {"kind": kind, "forms": lex.concept_forms(concept)}
            for kind, (start, stop) in lex.spans.items()
            for concept in range(start, stop)
        ],
        "propensity": visitors.propensities(),
        "click": {
            "grade": visitors.GRADE_APPEAL,
            "style_taste": visitors.TASTE_APPEAL,
            "quality": visitors.QUALITY_APPEAL,
            "price_log_mean": round(visitors.PRICE_LOG_MEAN, 6),
            "price_log_deviation": visitors.PRICE_LOG_DEVIATION,
        },
        "shuffled_share": visitors.SHUFFLED_SHARE,
        "synonyms": [asdict(group) for group in groups],
        "queries": _intents(market),
    }
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    (folder / "truth.json").write_bytes(orjson.dumps(truth, option=option))
    _write_arrays(folder / "truth.npz", market, sessions)


def _intents(market: Market) -> list[dict[str, object]]:
    """Return what each query means, in canonical words."""
    queries, sellers, lex = market.queries, market.sellers, market.lex
    intents: list[dict[str, object]] = []
    for row, query_id in enumerate(queries.ids):
        wanted = zip(ATTRIBUTE_KINDS, queries.attributes[row].tolist(), strict=True)
        scope, brand = int(queries.scope[row]), int(queries.brand[row])
        intents.append(
            {
                "query_id": query_id,
                "query": queries.texts[row],
                "meant": queries.meant[row],
                "kind": KINDS[int(queries.kind[row])],
                "segment": SEGMENTS[int(queries.segment[row])],
                "scope": lex.canonical(scope) if scope >= 0 else None,
                "attributes": {kind: lex.canonical(at) for kind, at in wanted if at >= 0},
                "brand": sellers.brands[brand] if brand >= 0 else None,
            }
        )
    return intents


def _write_arrays(path: Path, market: Market, sessions: visitors.Sessions) -> None:
    listings, queries, sellers = market.listings, market.queries, market.sellers
    np.savez(
        path,
        listing_quality=listings.quality,
        listing_type=listings.type,
        listing_attributes=listings.attributes,
        listing_stuffed=listings.stuffed,
        listing_price_z=listings.price_z,
        listing_seller=listings.seller,
        seller_quality=sellers.quality,
        seller_stuffing=sellers.stuffing,
        query_kind=queries.kind,
        query_scope=queries.scope,
        query_attributes=queries.attributes,
        query_brand=queries.brand,
        query_frequency=queries.frequency,
        query_segment=queries.segment,
        session_surface=sessions.surface,
        session_style=sessions.style,
        session_price_sensitivity=sessions.price_sensitivity,
        session_department=sessions.department,
    )
