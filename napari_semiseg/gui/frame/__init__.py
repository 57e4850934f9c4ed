"""What frames every page: the path of steps, the run strip and the status line."""
