"""What is added to h, and the one file that patches the host's model."""
