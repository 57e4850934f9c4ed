"""The command line: one verb for each job, and what shows it in a terminal."""
