"""Everything that works without a display: scans, studies, networks, methods, training and maps.

Nothing in this package imports Qt or napari, so that the same code serves the dock widget, the
command line, a notebook and a headless GPU server.
"""
