"""Hostile workflows: generated, sent to a real server that stands in a sandbox, and judged by its answers."""
