"""The training loop as a generator of events, its settings and its checkpoints."""
