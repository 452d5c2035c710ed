"""What a schema renders to on each server, and what a document becomes on its way there."""

from cascade.engines.mappings.diff import differences
from cascade.engines.mappings.documents import document_elasticsearch, document_solr
from cascade.engines.mappings.elasticsearch import render_elasticsearch, render_opensearch
from cascade.engines.mappings.rendering import SERVERS, render
from cascade.engines.mappings.solr import SolrSchema, render_solr

__all__ = [
    "SERVERS",
    "SolrSchema",
    "differences",
    "document_elasticsearch",
    "document_solr",
    "render",
    "render_elasticsearch",
    "render_opensearch",
    "render_solr",
]
