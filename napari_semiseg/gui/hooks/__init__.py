"""What napari calls by the manifest: readers, writers, samples, and starting with a study."""
