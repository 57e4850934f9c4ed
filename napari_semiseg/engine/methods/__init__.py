"""One file for each published method, on one contract."""
