"""The main job in one command: a biased model, a module trained from scratch, the same prompts again, and the figures."""
