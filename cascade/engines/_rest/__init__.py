"""The parts that the engines on Elasticsearch and OpenSearch share."""
