"""Widgets that several rooms show: controls, the table of cases, icons."""
