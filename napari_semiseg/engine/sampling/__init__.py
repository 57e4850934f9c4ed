"""From scans to batches: the model grid, normalisation, the cache, augmentation, sampling."""
