"""The main job in one command: draw with a biased model, train a module, draw again, measure, show."""
