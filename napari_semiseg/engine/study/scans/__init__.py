"""The scans of a study: adding, checking and picturing them."""
