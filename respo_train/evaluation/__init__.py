"""Measuring: what a model draws with and without modules, judged, counted, and with intervals."""
