"""The maths and the file format that the nodes and the trainer share. It imports neither of them, nor the host."""
