"""The search for weights by evolution: optimisers, fitness, constraints, fronts."""
