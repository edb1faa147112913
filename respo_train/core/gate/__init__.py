"""Decide from a prompt's words whether it leaves an attribute open."""
