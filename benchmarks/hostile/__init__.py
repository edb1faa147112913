"""Hostile files and workflows: drawn by Hypothesis, read by what we ship in processes of their own, and judged."""
