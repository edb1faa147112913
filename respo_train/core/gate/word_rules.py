"""Word lists as rules, and where they match: the entries by which attributes list the words that state them.

An entry of a list is one of three:

- `woman`, `dark skin`: a word or phrase. Plurals, hyphens, articles, case and "'s" need no entry of their own.
- `black *`: only when it describes a person: before one, with at most two other words in between ("a black jazz
  singer"; not "a black cat", not "a black-haired singer"), or after one ("a doctor who is black").
- `-king crab`: a phrase whose words count for nothing, whatever other entries match.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import RespoError
from .prompt_text import Word, read_words

PERSON = "person"  # the group of words for people in general
_LONGEST = 8  # words of an entry; limits the cost of a stranger's list
_MOST = 10_000  # entries
_LONGEST_ENTRY = 200  # characters


@dataclass(frozen=True)
class Match:
    """The words `start` … `end - 1` match an entry of `group`."""

    start: int
    end: int
    group: str


class Phrases:
    """Phrases and the group of each. Where several phrases begin at one word, the longest counts."""

    def __init__(self, phrases: Mapping[str, str]):
        self._groups = phrases
        self._longest = max((phrase.count(" ") + 1 for phrase in phrases), default=0)

    @classmethod
    def listed(cls, text: str) -> Phrases:
        """Build from a list with semicolons or line ends between the phrases."""
        entries = text.replace("\n", ";").split(";")
        return cls({plain_phrase(entry): "" for entry in entries if entry.strip()})

    def at(self, words: Sequence[Word], start: int) -> Match | None:
        """Return the longest phrase that begins at word `start`. A phrase does not continue into the next clause."""
        found, before = None, ""
        for end in range(start + 1, min(start + self._longest, len(words)) + 1):
            word = words[end - 1]
            if before and word.starts:
                break
            group = next((self._groups[before + form] for form in word.forms if before + form in self._groups), None)
            if group is not None:
                found = Match(start, end, group)
            before += f"{word.text} "
        return found

    def all(self, words: Sequence[Word]) -> Iterator[Match]:
        """Yield the matches from left to right, without overlaps."""
        start = 0
        while start < len(words):
            match = self.at(words, start)
            if match is not None:
                yield match
            start = start + 1 if match is None else match.end


@dataclass(frozen=True)
class Rules:
    """An attribute's parsed lists: plain entries, those with *, those with -, and additional words for people."""

    stated: Phrases
    of_persons: Phrases
    nothing: Phrases
    persons: Phrases


def read_rules(words: Mapping[str, Sequence[str]]) -> Rules:
    """Parse word lists, group -> entries. The group "person" adds words for people. Raises RespoError."""
    if sum(map(len, words.values())) > _MOST:
        raise RespoError(f"expected at most {_MOST:,} words in all lists together, found more. Shorten them.")
    kinds: dict[str, dict[str, str]] = {"": {}, "*": {}, "-": {}, PERSON: {}}
    for group, entries in words.items():
        for entry in entries:
            text = entry.strip()
            mark = "-" if text.startswith("-") else "*" if text.endswith("*") else ""
            kind = PERSON if group == PERSON and not mark else mark
            kinds[kind].setdefault(plain_phrase(text.removeprefix("-").removesuffix("*") if mark else text), group)
    return Rules(Phrases(kinds[""]), Phrases(kinds["*"]), Phrases(kinds["-"]), Phrases(kinds[PERSON]))


def plain_phrase(entry: str) -> str:
    """Normalise an entry's words like those of a prompt. Raises RespoError for none, too many, or signs in between."""
    read = read_words(entry, "an entry of words", _LONGEST_ENTRY)
    if not 0 < len(read) <= _LONGEST or "*" in entry or any(word.starts for word in read[1:]):
        raise RespoError(
            f"expected 1 to {_LONGEST} words without signs between, as in 'woman', 'dark skin', 'black *' (before a "
            f"person) or '-king crab' (means nothing), found {entry[:80]!r}."
        )
    return " ".join(word.text for word in read)


def listed(text: str) -> Iterable[str]:
    """Return the single words of a list with semicolons or line ends between them."""
    return (entry.strip() for entry in text.replace("\n", ";").split(";") if entry.strip())
