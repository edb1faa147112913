"""Files of other projects, as released with their papers: read into an attribute, and written back."""
