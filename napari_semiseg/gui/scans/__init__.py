"""The scans of a study: adding, finding, naming their classes; and the welcome."""
