"""Where in a picture something is: frequency bands, attention to words, regions, differences."""
