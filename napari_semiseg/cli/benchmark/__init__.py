"""The benchmark: what this machine takes for each job of the project, beside the usual way to do it.

`command` is the verb of the command line; every other file is one section of the table, or what
sections share. Nothing else imports this room, and importing it loads nothing heavy.
"""
