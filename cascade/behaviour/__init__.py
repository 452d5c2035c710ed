"""What shoppers did with documents, counted: the counters, and the columns they are kept in."""

from cascade.behaviour.counters import Behaviour, Counted, Counter, normal_text

__all__ = ["Behaviour", "Counted", "Counter", "normal_text"]
