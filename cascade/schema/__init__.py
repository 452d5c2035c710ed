"""The schema: which fields a document has, and how each is read, indexed and kept in columns."""

from cascade.schema.fields import Document, Field, Kind, Role
from cascade.schema.parsing import load_schema, parse_schema
from cascade.schema.schema import Schema

__all__ = ["Document", "Field", "Kind", "Role", "Schema", "load_schema", "parse_schema"]
