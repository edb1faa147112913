"""Whether a prompt leaves an attribute open, told from its words."""
