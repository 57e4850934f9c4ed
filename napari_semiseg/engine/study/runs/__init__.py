"""Training runs of a study: records, locks, what they learnt from, and their maps."""
