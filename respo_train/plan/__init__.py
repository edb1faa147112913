"""Whether a training fits into memory and how long it takes, told before it starts."""
