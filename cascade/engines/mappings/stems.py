"""Where Snowball 3, which `cascade.text` stems by, differs from Snowball 2, which Lucene has.

What changed between the releases is made good around a server's stemmer: a word of `EXCEPTIONS`
gets its stem at once, a pattern of `BEFORE` rewrites the end of a token so that the older rules
take off what the newer ones would, and one of `AFTER` finishes a stem. The patterns are Java's.
"""

from __future__ import annotations

from collections.abc import Mapping

Rewrite = tuple[str, str]

_ENGLISH: Mapping[str, str] = {
    "add": "added adding addings",
    "ann": "anned anning",
    "ebb": "ebbed ebbing ebbings",
    "eff": "effed effing",
    "egg": "egged egging",
    "emergenc": "emergence emergences emergencies emergency",
    "emergent": "emergent emergents emergently",
    "err": "erred erring erringly",
    "evening": "evening evenings",
    "interciti": "intercity intercities",
    "interfer": "interfered interfering interferingly",
    "interment": "interment interments",
    "internal": "internal internally internals internality internalities internalism internalize "
    "internalized internalizes internalizing internalizer internalization internalizations",
    "internat": "international internationally internationals internationalism internationality",
    "internment": "internment internments",
    "interstat": "interstate interstates",
    "interval": "interval intervals",
    "lateral": "lateral laterally laterals laterality lateralize lateralized",
    "odd": "odded odding",
    "off": "offed offing offings",
    "organic": "organic organical organically organics organicity",
    "organism": "organism organisms",
    "organiz": "organization organizations organize organized organizer organizers organizes "
    "organizing organizings",
    "paste": "paste pasted pastes pasting pastings",
    "univer": "univers",
    "universal": "universal universally universals universalism universality universalities "
    "universalize universalized",
    "universiti": "university universities",
    "vie": "vying",
}

EXCEPTIONS: Mapping[str, Mapping[str, str]] = {
    "english": {
        word + ending: stem
        for stem, words in _ENGLISH.items()
        for word in words.split()
        for ending in ("", "'s")
    }
}
"""The stem of each word that a rewriting could not bring about, by stemmer."""

_V = "[aeiouyäöü]"
# Between vowels, u and y count as consonants.
_REGION = rf"{_V}(?:[^aeiouyäöü]|[uy](?={_V}))"


def _in_region(suffix: str) -> str:
    """Return a look behind a suffix: that it lies in Snowball's region R1 of German."""
    return rf"(?<=^.{{3,100}}{suffix})(?<={_REGION}.{{0,98}}{suffix})"


BEFORE: Mapping[str, tuple[Rewrite, ...]] = {
    # -ogist is -og.
    "english": ((r"ogist(?:'?s)?$(?<=[aeiouy][^aeiouy].{0,90}ogist(?:'?s)?)", "og"),),
    "german": (
        ("ae", "ä"),
        ("oe", "ö"),
        ("(?<![qaeiouyäöü])ue", "ü"),
        # -erin and -erinnen go as -er does.
        (f"erin(?=(?:nen)?$){_in_region('erin')}(?:nen)?", "er"),
        # -ln and -lns leave an l.
        (f"ln(?=s?$){_in_region('ln')}s?", "l"),
        # -et goes after another ending, as -est does.
        (
            "et(?=(?:e[mnrs]?|ern|s)?$)(?<=[dfgklmnrstzä]et|(?<=[aeiouyäöü])uet)"
            f"(?<!(?:geordn|intern|plan|tick|tr)et){_in_region('et')}",
            "est",
        ),
        # -em stays in -system; the second -em goes in its place.
        ("system$", "systemem"),
    ),
}
"""What each pattern in a token is replaced by before the stemmer."""

AFTER: Mapping[str, tuple[Rewrite, ...]] = {"german": (("(?<=..)'(?:s|sch)?$", ""),)}
"""What each pattern in a stem is replaced by."""
