"""A checked configuration, and the presets and recipes that fill it."""
