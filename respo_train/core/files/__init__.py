"""The module file: reading, writing, shrinking it, and putting it into text."""
