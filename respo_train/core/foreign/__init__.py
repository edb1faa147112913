"""Files of other projects: what the papers released, read into an attribute and written back."""
