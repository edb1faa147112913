"""The table that makes our case: every method on the same prompts, seeds and assignments, drawn by the real nodes."""
