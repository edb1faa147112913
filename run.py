"""Set Respo up and run it: `python run.py demo`, `evidence`, `check`, `test`, `ui` or `package`.

Needs nothing but Python; everything else is made beside this file. The code is in `setup_steps/`. This file keeps to a
syntax that old Pythons can read, so that they too can say what is wrong with them.
"""

import sys

OLDEST = (3, 10)
NEWEST = (3, 14)  # the pinned PyTorch has no builds for later ones


def python_problem(version):
    # type: (tuple[int, ...]) -> str | None
    """Return what is wrong with a (major, minor) Python version in one line, or None."""
    if OLDEST <= version <= NEWEST:
        return None
    template = "Respo needs Python %d.%d to %d.%d, this is Python %d.%d: use another one, e.g. python3.12 run.py"
    return template % (OLDEST + NEWEST + version)


if __name__ == "__main__":
    problem = python_problem(tuple(sys.version_info[:2]))
    if problem:
        sys.stderr.write("run.py: " + problem + "\n")
        sys.exit(2)
    from setup_steps.commands import main

    sys.exit(main(sys.argv[1:]))
