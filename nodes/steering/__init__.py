"""What is added to h, and the only file that patches the host's model."""
