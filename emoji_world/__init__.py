"""Emoji World: a miniature text-to-image model, biased on purpose, on which everything here is measured."""
