"""Honest numbers: metrics of a case and of a study, and comparisons on held-out cases."""
