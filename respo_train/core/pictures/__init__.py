"""Locate things in pictures: frequency bands, attention to words, regions, differences."""
