"""From a trained method to maps on the scan's own grid, in bounded memory."""
