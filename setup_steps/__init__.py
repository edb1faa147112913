"""What `run.py` does, in standard-library Python: environment, host, browser, commands."""
