"""Floor 11: the desk inside napari. Everything here runs on the main thread, except what `worker` starts.

Modules that napari loads at start-up (readers, writers, samples) import neither torch nor Qt.
"""
