"""Assigning concepts to pictures, and counting what the pictures show."""
