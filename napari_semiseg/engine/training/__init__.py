"""Floor 9: the training loop as a generator of events, its settings and its checkpoints."""
