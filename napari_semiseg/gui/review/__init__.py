"""Reviewing predictions: maps, trust, and decisions on whole scans and parts."""
