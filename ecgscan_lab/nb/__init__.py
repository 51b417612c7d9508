"""Notebook glue: set up a session, build notebooks from their sources, execute them, report what they showed."""
