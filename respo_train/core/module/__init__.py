"""A module: what is added to h, trained and applied by one class, and arithmetic with modules."""
