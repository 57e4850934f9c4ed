"""Labelling: the brush, tools for whole classes, saving, and what to label next."""
