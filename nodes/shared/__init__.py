"""What several nodes share: wire types, widgets, checks of inputs, folders, judges, totals."""
