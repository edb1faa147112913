"""Training objectives: one small file of pure functions each."""
