"""The classifier of encoded prompts that a module carries: its training sentences and its fit."""
