"""What a schema renders to on each server, and what a document becomes on its way there."""

from cascade.engines.mappings.documents import document_elasticsearch, document_solr
from cascade.engines.mappings.elasticsearch import render_elasticsearch, render_opensearch
from cascade.engines.mappings.solr import SolrSchema, render_solr

__all__ = [
    "SolrSchema",
    "document_elasticsearch",
    "document_solr",
    "render_elasticsearch",
    "render_opensearch",
    "render_solr",
]
