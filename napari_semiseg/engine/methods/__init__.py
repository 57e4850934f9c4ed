"""Floor 6: one file for each published method, on one contract."""
