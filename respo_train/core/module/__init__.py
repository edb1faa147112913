"""Modules: what is added to h, the class that is trained and applied, and arithmetic with modules."""
