"""Training: choosing a method, its run, curves and previews."""
