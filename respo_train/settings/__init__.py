"""The validated configuration, and the presets and recipes that fill it."""
