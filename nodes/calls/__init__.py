"""What one call of the model says: whose rows it holds, and which prompts they have."""
