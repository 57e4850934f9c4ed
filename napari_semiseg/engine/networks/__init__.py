"""Floor 3: segmentation networks, their heads, and the catalogue that builds them."""
