"""The parts of the engine on Solr."""
