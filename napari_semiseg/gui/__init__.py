"""Floor 11: the desk inside napari, on the main thread, except for what `worker` starts.

Modules that napari loads at start-up (readers, writers, samples) import neither torch nor Qt.
"""
