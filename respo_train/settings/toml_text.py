"""Parse TOML of strangers: what nests deeply costs the parser far more than its length, so it is refused first."""

from __future__ import annotations

import re
import sys
from typing import Any

from ..core.errors import RespoError
from ..core.files.text import limited

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_DEEPEST = 16  # tables in one another; a preset has four
# Strings and comments, each from its start to its end or, where that is missing, as far as it could go. No pattern
# tries a character twice.
_QUOTED = re.compile(
    r'"""(?:[^"\\]|\\[\s\S]|"(?!""))*(?:"""|\\?\Z)?'
    r"|'''(?:[^']|'(?!''))*(?:''')?"
    r'|"(?:[^"\\\n]|\\.)*"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*"
)


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Return the tables of a TOML text. `source`: its name in messages. Raises RespoError."""
    bare = _QUOTED.sub("_", limited(text, source))
    depth = deepest = 0
    for sign in re.findall(r"[\[\]{}]", bare):
        depth = max(0, depth + (1 if sign in "[{" else -1))
        deepest = max(deepest, depth)
    dots = max(line.count(".") for line in re.split(r"[,=\n]", bare))
    if max(deepest, dots) > _DEEPEST:
        raise RespoError(
            f"cannot read {source}: expected at most {_DEEPEST} tables in one another, found {max(deepest, dots)}. "
            "Write it as the shipped presets are written."
        )
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RespoError(f"cannot read {source}: {str(error)[:200]}") from error
