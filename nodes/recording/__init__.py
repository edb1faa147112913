"""A run without modules, written down call by call, and how another run follows it."""
