"""What one call of the model contains: which rows belong to which prompt, and the encoded prompts."""
