"""The maths and the file format that the nodes and the trainer share; needs neither of them, nor the host."""
