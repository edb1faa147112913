"""The commands of `python -m respo_train`."""
