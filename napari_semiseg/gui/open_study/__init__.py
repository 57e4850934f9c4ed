"""The study that is open: its records, jobs and threads."""
