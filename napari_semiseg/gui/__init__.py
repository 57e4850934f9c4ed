"""The desk inside napari, on the main thread except for what is started in the background.

Modules that napari loads at start-up (readers, writers, samples) import neither torch nor Qt.
"""
