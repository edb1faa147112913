"""Code that several nodes share: wire types, widgets, input checks, folders, judges, running totals."""
