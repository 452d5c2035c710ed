"""The parts of the embedded engine."""
