"""The prompt probe that a module carries: its training sentences and how it is fitted."""
