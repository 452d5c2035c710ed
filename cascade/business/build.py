"""The business layer from its table of the configuration, every problem told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from cascade.business.business import MAX_DISPLACEMENT, WINDOW, Business
from cascade.business.conflicts import conflicts
from cascade.business.guard import TOP, Guard, SurrogateGain
from cascade.business.inputs import PolicyInputs, read_inputs
from cascade.business.learned import RELEVANCE, Bounds, PolicyBundle
from cascade.business.objectives import OBJECTIVES, BaseObjective, Relevance
from cascade.business.page_policy import BEAM, DIVERSITY, PagePolicy
from cascade.business.page_policy import TOP as PAGE_TOP
from cascade.business.policy import LinearBlend, Policy, check_point, check_preference
from cascade.business.rules import RULES
from cascade.business.ruleset import RuleSet
from cascade.business.settings import Reader, field_of, read_settings, read_text, read_texts, whole
from cascade.business.shape import Shape
from cascade.errors import ConfigError, QueryError, nearest
from cascade.schema import Kind, Schema

T = TypeVar("T")

DEFAULT_INPUTS = ("score", "rank_percentile")
_NUMBERS: Mapping[str, tuple[Reader, int]] = {
    "window": (whole(1), WINDOW),
    "max_displacement": (whole(0), MAX_DISPLACEMENT),
    "guard_top": (whole(1), TOP),
}
_KEYS = (
    *_NUMBERS,
    "guard_gain",
    "max_loss",
    "model",
    "objectives",
    "page",
    "policy",
    "preference",
    "rules",
)
_POLICY_KEYS = ("inputs", "hidden")
_PAGE_KEYS = ("fields", "top", "beam")
_PAGE_SIZE = whole(1, 100)  # more ranks or beginnings cost a request a second and more
_PAGE_FIELD = field_of(Kind.KEYWORD, Kind.NUMBER, Kind.DATE)


def build_business(
    raw: Mapping[str, Any],
    schema: Schema,
    source: str = "configuration",
    path: str = "business",
    learned: PolicyBundle | None = None,
) -> Business:
    """Return the business layer that a configuration describes.

    Args:
        raw: The table `[business]`; empty means no objective and no rule.
        schema: The fields that objectives and rules may read.
        source: What the configuration is called in messages.
        path: Where the table stands in it.
        learned: The policy that `model` names. Without it the policy is the linear blend, and
            what only the model knows, its operating points, is not checked.

    Raises:
        ConfigError: With a line for every problem: its key, what is accepted, the nearest name.
        FingerprintError: If the policy was trained on other inputs or objectives.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(source, [f"{path}: is {raw!r}; accepted is a table"])
    problems = _unknown(raw, _KEYS, path)
    bounds, head = _bounds(raw, schema, path, learned, problems)
    _read(read_text, raw.get("model", "none"), schema, f"{path}.model", problems)
    objectives = _tables(raw, "objectives", OBJECTIVES, schema, path, problems)
    rules = _tables(raw, "rules", RULES, schema, path, problems)
    problems += _misnamed(objectives, f"{path}.objectives")
    problems += [f"{path}.rules: {line}" for line in conflicts(rules, schema.id)]
    _policy_table(raw, objectives, schema, path, problems)
    page = _page(raw, schema, path, problems)
    default = _preference(raw, objectives, path, learned, problems)
    if problems:
        raise ConfigError(source, problems)
    blend = LinearBlend(tuple(objectives))
    policy: Policy = blend if learned is None else learned.policy(objectives, schema)
    if page is not None:
        policy = PagePolicy(policy=policy, **page, max_displacement=bounds.max_displacement)
    return Business(
        policy=policy,
        window=bounds.window,
        max_displacement=bounds.max_displacement,
        rules=RuleSet(tuple(rules)),
        default_preference={n: share for n, share in default.items() if n in policy.names},
        guard=_guard(bounds, head, learned),
        points={} if learned is None else learned.card.points,
        model="" if learned is None else learned.label,
    )


def build_shape(
    raw: Mapping[str, Any], schema: Schema, source: str = "configuration", path: str = "business"
) -> tuple[PolicyInputs, Shape]:
    """Return the inputs and the shape of the policy that a configuration asks to be trained.

    Its preference has a share for `relevance` and one for each declared objective.

    Args:
        raw: The table `[business]`; its table `policy` names the inputs. Without, they are
            `score`, `rank_percentile` and every declared objective.
        schema: The fields of the documents.
        source: What the configuration is called in messages.
        path: Where the table stands in it.

    Raises:
        ConfigError: With a line for every problem.
    """
    problems: list[str] = []
    objectives = _tables(raw, "objectives", OBJECTIVES, schema, path, problems)
    problems += _misnamed(objectives, f"{path}.objectives")
    found = _policy_table(raw, objectives, schema, path, problems)
    if problems or found is None:
        raise ConfigError(source, problems)
    inputs, hidden = found
    names = [o.name for o in objectives if o.name != RELEVANCE]
    try:
        return inputs, Shape(inputs.names, (RELEVANCE, *names), hidden)
    except ConfigError as error:
        raise ConfigError(source, [f"{path}.policy: {line}" for line in error.problems]) from None


def _policy_table(
    raw: Mapping[str, Any],
    objectives: Sequence[BaseObjective],
    schema: Schema,
    path: str,
    problems: list[str],
) -> tuple[PolicyInputs, int] | None:
    """Return what the table `policy` says, or None and a line for each problem."""
    table = raw.get("policy", {})
    here = f"{path}.policy"
    if not isinstance(table, Mapping):
        problems.append(f"{here}: is {table!r}; accepted is a table")
        return None
    problems += _unknown(table, _POLICY_KEYS, here)
    names = list(dict.fromkeys([*DEFAULT_INPUTS, *(o.name for o in objectives)]))
    given = table.get("inputs", names)
    inputs = read_inputs(given, objectives, schema, f"{here}.inputs", problems)
    hidden = _read(whole(0), table.get("hidden", 0), schema, f"{here}.hidden", problems)
    return None if inputs is None or hidden is None else (inputs, int(hidden))


def _page(
    raw: Mapping[str, Any], schema: Schema, path: str, problems: list[str]
) -> dict[str, Any] | None:
    """Return the settings of the table `page`, None without one or with a problem."""
    if "page" not in raw:
        return None
    table, here = raw["page"], f"{path}.page"
    if not isinstance(table, Mapping):
        problems.append(f"{here}: is {table!r}; accepted is a table")
        return None
    problems += _unknown(table, _PAGE_KEYS, here)
    names: tuple[str, ...] = ()
    if "fields" in table:
        names = _read(read_texts, table["fields"], schema, f"{here}.fields", problems) or ()
    else:
        problems.append(f"{here}.fields: is missing; {here} needs it")
    for name in names:
        _read(_PAGE_FIELD, name, schema, f"{here}.fields", problems)
    top = _read(_PAGE_SIZE, table.get("top", PAGE_TOP), schema, f"{here}.top", problems)
    beam = _read(_PAGE_SIZE, table.get("beam", BEAM), schema, f"{here}.beam", problems)
    return {"fields": names, "top": top, "beam": beam}


def _bounds(
    raw: Mapping[str, Any],
    schema: Schema,
    path: str,
    learned: PolicyBundle | None,
    problems: list[str],
) -> tuple[Bounds, str | None]:
    """Return the bounds, those of the model where the table has none, and the guard's head."""
    known = {} if learned is None else vars(learned.card.bounds)
    found: dict[str, Any] = {}
    for key, (read, usual) in _NUMBERS.items():
        default = known.get(key, usual)
        value = _read(read, raw.get(key, default), schema, f"{path}.{key}", problems)
        found[key] = default if value is None else value
    found["max_loss"] = known.get("max_loss")
    if "max_loss" in raw:
        found["max_loss"] = _read(_share, raw["max_loss"], schema, f"{path}.max_loss", problems)
    head = None
    if "guard_gain" in raw:
        head = _read(read_text, raw["guard_gain"], schema, f"{path}.guard_gain", problems)
    if learned is not None:
        problems += _loosened(found, learned, path)
    return Bounds(**found), head


def _loosened(found: Mapping[str, Any], learned: PolicyBundle, path: str) -> list[str]:
    """Return a line for each bound that is not as strict as the one a policy was accepted with."""
    accepted = learned.card.bounds
    lines = []
    for key, most in vars(accepted).items():
        if most is None or found[key] is None or found[key] == most:
            continue
        # A gain over more or fewer ranks is another gain: neither bounds the other.
        if key == "guard_top" and accepted.max_loss is not None:
            lines.append(f"{path}.{key}: is {found[key]}; accepted is {most}")
        elif key != "guard_top" and found[key] > most:
            lines.append(f"{path}.{key}: is {found[key]:g}; accepted is at most {most:g}")
    why = f"the bound that {learned.label} was accepted with; for another evolve a policy anew"
    return [f"{line}, {why}" for line in lines]


def _guard(bounds: Bounds, head: str | None, learned: PolicyBundle | None) -> Guard | None:
    """Return the guard of a policy, None where nothing bounds its loss."""
    if bounds.max_loss is None:
        return None
    gain = SurrogateGain() if learned is None else learned.card.gain
    if head is not None:
        gain = replace(gain, head=head)
    return Guard(bounds.max_loss, bounds.guard_top, gain)


def _preference(
    raw: Mapping[str, Any],
    objectives: list[BaseObjective],
    path: str,
    learned: PolicyBundle | None,
    problems: list[str],
) -> dict[str, float]:
    """Return the shares of a request that names none; a name of the table stands for a point's."""
    given = raw.get("preference", {})
    if isinstance(given, str):
        try:
            if learned is not None or "model" not in raw:
                return check_point(given, {} if learned is None else learned.card.points)
        except QueryError as error:
            problems.append(f"{path}.{error}")
        return {}
    if not isinstance(given, Mapping):
        problems.append(f"{path}.preference: is {given!r}; accepted is a table or a point's name")
        return {}
    names = _named(raw, objectives)
    if "model" in raw:
        names = list(dict.fromkeys([RELEVANCE, *names]))
    if "page" in raw:
        names.append(DIVERSITY)
    found: dict[str, float] = {}
    # Each share alone, so that one mistake does not hide the next.
    for name, share in given.items():
        try:
            found |= check_preference({name: share}, names)
        except QueryError as error:
            problems.append(f"{path}.{error}")
    return found


def _unknown(table: Mapping[str, Any], keys: Sequence[str], here: str) -> list[str]:
    """Return a line for each key that a table does not have."""
    return [
        f"{here}.{key}: unknown key; {nearest(key, keys, most=len(keys))}"
        for key in table
        if key not in keys
    ]


def _read(read: Reader, value: object, schema: Schema, here: str, problems: list[str]) -> Any:  # noqa: ANN401
    try:
        return read(value, schema)
    except ValueError as error:
        problems.append(f"{here}{error}")
        return None


def _share(value: object, schema: Schema) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:  # type: ignore[operator]
        raise ValueError(f": is {value!r}; accepted is a share from 0 to 1")
    return float(value)  # type: ignore[arg-type]


def _tables(
    raw: Mapping[str, Any],
    key: str,
    kinds: Mapping[str, type[T]],
    schema: Schema,
    path: str,
    problems: list[str],
) -> list[T]:
    tables = raw.get(key, [])
    if not isinstance(tables, list):
        problems.append(f"{path}.{key}: is {tables!r}; accepted is a list of tables")
        return []
    made = []
    for number, table in enumerate(tables):
        here = f"{path}.{key}[{number}]"
        if not isinstance(table, Mapping):
            problems.append(f"{here}: is {table!r}; accepted is a table")
            continue
        kind = table.get("kind")
        if not isinstance(kind, str) or kind not in kinds:
            given = "is missing" if kind is None else f"is {kind!r}"
            known = nearest(str(kind), kinds, most=len(kinds))
            problems.append(f"{here}.kind: {given}; {known}")
            continue
        settings = {name: value for name, value in table.items() if name != "kind"}
        found = read_settings(kinds[kind], settings, schema, here, problems)
        if found is not None:
            made.append(found)
    return made


def _misnamed(objectives: list[BaseObjective], path: str) -> list[str]:
    names = [objective.name for objective in objectives]
    twice = sorted({name for name in names if names.count(name) > 1})
    found = [f"{path}: {name!r} names more than one; give each its own name" for name in twice]
    for objective in objectives:
        if objective.name == "relevance" and not isinstance(objective, Relevance):
            found.append(
                f"{path}: 'relevance' is the name of the ranking's own score; choose another"
            )
        if objective.name == DIVERSITY:
            found.append(f"{path}: 'diversity' is what the page policy adds; choose another")
    return found


def _named(raw: Mapping[str, Any], objectives: list[BaseObjective]) -> list[str]:
    """Return the names of all objectives, those that could not be made among them."""
    tables = raw.get("objectives", [])
    written = [t.get("name") for t in tables if isinstance(t, Mapping)] if tables else []
    return [*(o.name for o in objectives), *(name for name in written if isinstance(name, str))]
