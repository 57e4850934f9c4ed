"""Comparing runs on held-out scans: figures, pairs, and two predictions side by side."""
