"""Segmentation networks, their heads, and the catalogue that builds them."""
