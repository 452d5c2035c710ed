"""An index of documents with a version number, and what each of its parts holds of them."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np

from cascade.candidates import Query
from cascade.catalogue import Catalogue, LiveCatalogue
from cascade.hosting import IndexHost, Place
from cascade.indexing import Files, Generation, Store, build
from cascade.indexing.build import BuildOptions, BuildReport
from cascade.indexing.log import Log
from cascade.indexing.swap import Checks
from cascade.indexing.updates import Updater, log_folder, open_live
from cascade.protocols import Asked
from cascade.schema import Field, Kind, Schema

SCHEMA = Schema(
    "id",
    (
        Field("title", Kind.TEXT, ("title",)),
        Field("brand", Kind.KEYWORD, ("brand",)),
        Field("version", Kind.NUMBER, ("version",)),
    ),
)


def document(doc_id: str, version: int) -> dict[str, object]:
    return {
        "id": doc_id,
        "title": f"cup {doc_id} v{version}",
        "brand": [f"b{version % 7}"],
        "version": version,
    }


def write_products(path: Path, model: dict[str, int]) -> Files:
    lines = [json.dumps(document(doc_id, version)) for doc_id, version in model.items()]
    path.write_text("\n".join(lines))
    return Files((path,))


class Versions:
    """Hold a store, a host, a log and an updater of one index, as one process opens them."""

    def __init__(self, root: Path, host: IndexHost, index: str = "products") -> None:
        self.root = root
        self.host = host
        self.store = Store(root, index)
        self.log = Log(log_folder(root, index), segment_bytes=200_000)
        self.updater = Updater(self.store, self.log, host, SCHEMA)

    def place_of(self, name: str) -> Place:
        return Generation(name, self.root / name, {}).place

    @property
    def checks(self) -> Checks:
        """What a swap compares, and how it holds off updates in the meantime."""
        return Checks(open_documents=self.live, settle=self.updater.settled)

    def build(self, model: dict[str, int], *, swap: bool = True) -> BuildReport:
        path = self.root / "products.ndjson"
        self.root.mkdir(parents=True, exist_ok=True)
        hooks = self.updater.hooks()
        files = write_products(path, dict(model))
        options = BuildOptions(
            swap=swap,
            keep=3,
            checks=self.checks,
            log_position=hooks.position,
            before_publish=hooks.before_publish,
        )
        return build(self.store, SCHEMA, files, self.host, options)

    def upsert(self, **versions: int) -> None:
        self.updater.update([SCHEMA.document(document(i, v)) for i, v in versions.items()])

    def live(self, generation: Generation) -> LiveCatalogue:
        return open_live(Catalogue.open(generation.catalogue, SCHEMA), self.log, generation)

    def held(self, generation: Generation) -> dict[str, int]:
        """Return the version of each document, after checking that all parts agree on it."""
        catalogue = self.live(generation)
        rows = catalogue.current().astype(np.int32)
        versions = catalogue.numbers(["version"], rows)[:, 0].astype(int).tolist()
        of_catalogue = dict(zip(catalogue.ids(rows), versions, strict=True))
        of_engine = {
            raw["id"]: raw["version"]
            for batch in self.host.documents(generation.place.name)
            for raw in batch
        }
        missing = of_catalogue.items() - of_engine.items()
        extra = of_engine.items() - of_catalogue.items()
        assert (missing, extra) == (set(), set())
        with closing(self.host.engine(generation.place, SCHEMA, catalogue)) as engine:
            asked = Asked(match_all=True)
            found = engine.retrieve([Query("q", "")], min(len(rows), 10_000), asked)
        ids = found.candidates.ids()
        assert found.totals[0].value == len(rows)
        assert found.candidates.rows.tolist() == catalogue.rows(ids).tolist()
        assert set(ids) <= of_catalogue.keys()
        return of_catalogue
