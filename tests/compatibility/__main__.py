"""`python -m tests.compatibility`: write docs/compatibility.md."""

from .table import PATH, page

PATH.write_text(page(), encoding="utf-8")
