"""Who gets which concept, what the pictures showed, and how far the two are from even."""
