"""A preset that trains in seconds, for tests of what is around the training."""

SMALL_PRESET = """
attribute = "gender"
purpose = "fairness"
neutral = "a person"
preview = ["a photo of a doctor"]
batch = 2
trajectory_steps = 6
[concepts.woman]
target = "a woman"
[concepts.man]
target = "a man"
"""
