"""The pages of the dock widget, one for each step of the path through a study, and the welcome.

A page reads the session, calls its verbs and renews itself at its signals. Main thread only.
"""
