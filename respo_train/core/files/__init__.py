"""The module file: read it, write it, shrink it, and convert it to text."""
