"""Every setting, its default and what it accepts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from cascade.config.base import Positive, Settings, Share
from cascade.config.behaviour_settings import BehaviourSettings
from cascade.config.click_settings import ClickSettings
from cascade.config.evaluation_settings import EvaluationSettings
from cascade.config.event_settings import EventSettings
from cascade.config.evolution_settings import EvolutionSettings
from cascade.config.experiment_settings import ExperimentSettings
from cascade.config.exploration_settings import ExplorationSettings
from cascade.config.gate_settings import DriftSettings, GateSettings, ShadowSettings
from cascade.config.log_settings import LogSettings
from cascade.config.pipeline_settings import PipelineSettings
from cascade.config.stage_settings import SplitSettings, StageSettings, TrainingSettings
from cascade.config.tuning_settings import TuningSettings


def _listed(given: object) -> object:
    return [given] if isinstance(given, str) else given


def _address(given: str) -> str:
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"is {given!r}; accepted is an address such as http://localhost:9200")
    return given.rstrip("/")


Url = Annotated[str, AfterValidator(_address)]


class AuthSettings(Settings):
    """`[engine.auth]`: who we are to the server; the secret stands in the environment."""

    kind: Literal["basic", "api_key", "bearer", "sigv4"] = Field(description="how it is said")
    user: str = Field("", description='the name, for "basic"')
    secret_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        None, description="the environment variable that holds the password, API key or token"
    )
    region: str = Field("", description='of the service, for "sigv4"')
    service: Literal["es", "aoss"] = Field("es", description='for "sigv4"')


class EngineSettings(Settings):
    """`[engine]`: the search engine and the index in it."""

    kind: Literal["embedded", "elasticsearch", "opensearch", "solr"] = Field(
        "embedded", description="which engine"
    )
    index: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = Field(
        "products", description="the name of the index, on a server that of its alias"
    )
    url: Annotated[list[Url], BeforeValidator(_listed)] = Field(
        default_factory=list, description="the server's address, or those of its nodes"
    )
    cloud_id: str | None = Field(None, description="a hosted Elasticsearch, in place of `url`")
    auth: AuthSettings | None = Field(None, description="see `[engine.auth]`")
    ca_file: str | None = Field(None, description="a certificate authority to trust")
    verify: bool = Field(True, description="check the server's certificate")
    timeout_s: Annotated[float, Field(gt=0)] = Field(
        30.0, description="of a request that has no deadline"
    )
    pool: Annotated[int, Field(ge=1, le=1_000)] = Field(
        16, description="connections to each node that are kept open"
    )
    owned: bool = Field(
        True, description="whether this system builds and swaps the index; false: others do"
    )
    id_field: str | None = Field(
        None, description="in an index of others, the keyword field that holds the id"
    )
    shards: Positive = Field(1, description="parts of an index that is built")
    replicas: Annotated[int, Field(ge=0)] = Field(0, description="copies of each part")
    refresh_s: Annotated[float, Field(gt=0)] = Field(
        1.0, description="after how long searches see a change"
    )
    config_set: str = Field("_default", description="what a Solr core or collection is made from")

    @model_validator(mode="after")
    def _can_be_reached(self) -> EngineSettings:
        if self.kind == "embedded":
            given = [n for n in ("url", "cloud_id", "auth") if getattr(self, n)]
            if given or not self.owned:
                told = ", ".join(given) or "owned = false"
                raise ValueError(f'{told}: kind = "embedded" has no server; give another kind')
            return self
        if (self.cloud_id is None) == (not self.url):
            both = "both are given" if self.url else "neither is given"
            raise ValueError(f'kind = "{self.kind}" needs one of url and cloud_id; {both}')
        if self.cloud_id is not None and self.kind != "elasticsearch":
            raise ValueError(f'cloud_id is of kind = "elasticsearch", not "{self.kind}"; give url')
        if self.auth and self.auth.kind == "sigv4" and self.kind != "opensearch":
            raise ValueError(f'auth.kind = "sigv4" is of kind = "opensearch", not "{self.kind}"')
        if self.owned and self.index != self.index.lower():
            raise ValueError(f"index: {self.index!r} has capitals, which servers refuse")
        return self


class IndexSettings(Settings):
    """`[index]`: what the index is made of and where its generations are kept."""

    schema_: str = Field(
        alias="schema", description="the TOML file that names the documents' fields"
    )
    store: str = Field(
        "var/indexes", description="the folder, or the URL of an object store, of the generations"
    )
    cache: str | None = Field(
        None, description="the folder into which this machine pulls generations from the store"
    )
    keep: Positive = Field(2, description="how many generations stay after a build")
    canaries: list[str] = Field(
        default_factory=list,
        description="query texts whose results a swap compares with those of the live generation",
    )
    canary_overlap: Share = Field(
        0.5, description="the least share of a canary's first 50 results that must stay"
    )

    @model_validator(mode="after")
    def _cache_is_no_store(self) -> IndexSettings:
        if self.cache is not None and Path(self.cache) == Path(self.store):
            raise ValueError(
                f"cache: is {self.cache!r}, which is the store; give a folder of its own, or none"
            )
        return self


class RetrievalSettings(Settings):
    """`[retrieval]`: what the engine is asked for."""

    size: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1_000, description="candidates of a request"
    )
    minimum_match: Share = Field(
        0.0,
        description="share of a query's distinct terms that a document must have; "
        "when nothing has it, any one term is enough and the page says so",
    )
    phrase_boost: Annotated[float, Field(ge=0)] = Field(
        0.0, description="what words side by side add, times the field's boost; 0 adds nothing"
    )
    phrase_slop: Annotated[int, Field(ge=0, le=10)] = Field(
        0, description="places that the words of a phrase may be apart"
    )
    typos: bool = Field(False, description="whether a word may differ by a letter or two")
    template: str | None = Field(
        None, description="a JSON file with a query body of your own, for the server"
    )
    total_cap: Annotated[int, Field(ge=0)] = Field(
        10_000, description="up to which number a server counts matches"
    )
    vector: str | None = Field(
        None, description="the vector field whose nearest neighbours join the matches"
    )
    analysed: Literal["ours", "server"] = Field(
        "ours", description="who cuts a query's text into terms: the schema, or the server"
    )


class JudgmentSettings(Settings):
    """`[judgments]`: the columns of a judgments file."""

    format: Literal["columns", "trec", "quepid", "workbench", "svmlight"] = Field(
        "columns", description="a table with a header, or a form of others; see judgments.md"
    )
    texts: str | None = Field(
        None, description='the file of query texts, for "trec"; default: the id is the text'
    )
    query_id: str | None = Field(
        None, description="column of the query id; default: the text is it"
    )
    query: str = Field("query", description="column of the query text")
    doc_id: str = Field("doc_id", description="column of the document id")
    grade: str = Field("grade", description="column of the grade; an empty one is skipped")
    frequency: str | None = Field(
        None, description="column that says how often the query is asked; default: none does"
    )
    grades: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="grades of labels, where the column holds labels"
    )


class FeatureSettings(Settings):
    """`[features]`: what rankers know of a candidate."""

    standard: bool = Field(True, description="make the standard features of the schema")
    modules: list[str] = Field(
        default_factory=list, description="Python modules that define feature kinds"
    )
    remove: list[str] = Field(
        default_factory=list, description="names or patterns of features to leave out"
    )
    add: list[dict[str, Any]] = Field(
        default_factory=list, description="definitions of further features"
    )


class ModelSettings(Settings):
    """`[models]`: the registry."""

    root: str = Field("ltr_models", description="the folder of the bundles")


class ServiceSettings(Settings):
    """`[service]`: the HTTP API."""

    host: str = Field("127.0.0.1", description="the address to listen on")
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(8080, description="0 takes a free one")
    budget_ms: Annotated[float, Field(gt=0)] = Field(
        500.0, description="of a request that names none"
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(4, description="requests ranked at once")
    max_body: Positive = Field(1_048_576, description="bytes of a request's body")


class CascadeSettings(Settings):
    """The whole file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")] = Field(
        "default", description="names the cascade in requests, models and metrics"
    )
    engine: EngineSettings = Field(default_factory=EngineSettings)
    index: IndexSettings | None = None
    retrieval: RetrievalSettings = Field(default_factory=RetrievalSettings)
    judgments: JudgmentSettings = Field(default_factory=JudgmentSettings)
    split: SplitSettings = Field(default_factory=SplitSettings)
    features: FeatureSettings = Field(default_factory=FeatureSettings)
    stages: list[StageSettings] = Field(default_factory=list)
    models: ModelSettings = Field(default_factory=ModelSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    business: dict[str, Any] | None = Field(None, description="the business layer; see business.md")
    service: ServiceSettings = Field(default_factory=ServiceSettings)
    behaviour: BehaviourSettings = Field(default_factory=BehaviourSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    events: EventSettings = Field(default_factory=EventSettings)
    clicks: ClickSettings = Field(default_factory=ClickSettings)
    exploration: ExplorationSettings = Field(default_factory=ExplorationSettings)
    gate: GateSettings = Field(default_factory=GateSettings)
    shadow: ShadowSettings = Field(default_factory=ShadowSettings)
    drift: DriftSettings = Field(default_factory=DriftSettings)
    experiment: ExperimentSettings | None = Field(
        None, description="cascades that live requests are divided among; see experiments.md"
    )
    pipeline: PipelineSettings = Field(default_factory=PipelineSettings)
    tuning: TuningSettings = Field(default_factory=TuningSettings)
    evolution: EvolutionSettings = Field(default_factory=EvolutionSettings)

    def model_name(self, stage: StageSettings) -> str:
        """Return the bundle reference of a stage."""
        return stage.model or f"{self.name}-{stage.name}"


@dataclass(frozen=True)
class Config:
    """Hold checked settings and where they came from.

    Attributes:
        settings: The settings of one cascade.
        path: The file; paths in the settings are relative to its folder.
    """

    settings: CascadeSettings
    path: Path

    def resolve(self, path: str) -> Path:
        """Return a path of the settings as an absolute one."""
        return (self.path.parent / path).resolve()
