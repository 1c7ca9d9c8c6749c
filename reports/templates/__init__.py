"""Jinja templates, style and script of the report."""
