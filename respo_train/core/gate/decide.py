"""Decide whether balancing an attribute makes sense for a prompt: only if it has a person in it and does not say who.

A statement anywhere closes the whole prompt, because a module acts on the whole picture: "a doctor and a woman" is
closed. A concept that is ruled out ("not a woman") is a statement too, because the author has decided. People's names
and grammar are not understood: there are only word lists (person_words.py and the attribute's own) and the rules below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import person_words as known
from .prompt_text import Word, read_words
from .word_rules import PERSON, Match, Phrases, Rules, listed, read_rules

_PERSONS, _NOUNS, _NOTHING = (Phrases.listed(text) for text in (known.PERSONS, known.NOUNS, known.PHRASES))
_DISGUISES, _NEGATIONS = Phrases.listed(known.DISGUISES), Phrases.listed(known.NEGATIONS)


def _set_of(text: str) -> frozenset[str]:
    return frozenset(listed(text))


_THINGS, _NOT_PERSONS, _COLLECTIVES = _set_of(known.THINGS), _set_of(known.NOT_PERSONS), _set_of(known.COLLECTIVES)
_DEPICTIONS, _BODY, _DESCRIBED = _set_of(known.DEPICTIONS), _set_of(known.BODY), _set_of(known.DESCRIBED)
_FUNCTION_WORDS, _VERB_BEFORE = _set_of(known.FUNCTION_WORDS), _set_of(known.VERB_BEFORE)
_COPULAS, _DEGREES, _COUNTS = _set_of(known.COPULAS), _set_of(known.DEGREES), _set_of(known.COUNTS)
_SUFFIXES = ("er", "or", "ist", "ician", "man", "woman", "person", "smith")
_REACH = 6  # the most words that a negation rules out


@dataclass(frozen=True)
class Decision:
    """`open`: whether to balance. `reason`: a sentence to show on the node."""

    open: bool
    reason: str


def decide(prompt: str, words: Mapping[str, Sequence[str]]) -> Decision:
    """Decide from a prompt's words whether to balance an attribute. Pure, in time linear in the prompt's length.

    `words`: group -> entries as in `word_rules`. A group is a concept, or the name of something else that closes a
    prompt ("another age"); the group "person" adds to the built-in words for people. Raises RespoError: a prompt that
    is not text or longer than MAX_CHARACTERS, or an invalid entry.
    """
    rules = read_rules(words)
    read = read_words(prompt)
    silent = _silent(read, rules)
    ruled_out = _ruled_out(read, silent)
    persons = [match for match in _persons(read, rules) if not silent[match.start]]
    stated = next(_statements(read, rules, persons, silent), None)
    if stated is not None:
        verb = "already speaks of" if ruled_out[stated.start] else "already says"
        return Decision(False, f"Closed: '{_quote(read, stated)}' {verb} {stated.group}.")
    hidden = _disguised(read, persons)
    there = next((match for match in persons if not ruled_out[match.start] and match.start not in hidden), None)
    if there is None:
        return Decision(False, "Closed: nobody in this prompt.")
    groups = [group for group in words if group != PERSON]
    says = f", and nothing says {_alternatives(groups)}" if groups else ""
    return Decision(True, f"Open: '{_quote(read, there)}'{says}.")


def _silent(words: Sequence[Word], rules: Rules) -> list[bool]:
    """Return which words count for nothing: parts of phrases like "man-made", what a statue shows, owners of things."""
    silent = [False] * len(words)
    for phrases in (_NOTHING, rules.nothing):
        for match in phrases.all(words):
            silent[match.start : match.end] = [True] * (match.end - match.start)
    of_statue = False
    for i, word in enumerate(words):
        if i and not word.starts and word.text == "of" and not _DEPICTIONS.isdisjoint(words[i - 1].forms):
            of_statue = True
        elif word.starts or (word.text in _FUNCTION_WORDS and word.text != "and"):
            of_statue = False
        owns = word.possessive and not any(_BODY.intersection(after.forms) for after in _clause(words, i + 1, 2))
        silent[i] = silent[i] or of_statue or owns
    return silent


def _ruled_out(words: Sequence[Word], silent: Sequence[bool]) -> list[bool]:
    """Return which words a negation rules out: the rest of its noun phrase, and of a list that ends in "or"."""
    out = [False] * len(words)
    for match in _NEGATIONS.all(words):
        if silent[match.start]:
            continue
        if words[match.end - 1].hyphen:  # "no-makeup look" rules out makeup alone
            out[match.end] = True
            continue
        for i in range(match.end, min(match.end + _REACH, len(words))):
            word, first = words[i], i == match.end
            new_noun = word.article and not first and words[i - 1].text not in ("of", "or", "nor")
            new_clause = word.starts and not (word.after_comma and _list_goes_on(words, i))
            ends = word.text in _FUNCTION_WORDS - {"of", "or", "nor", "and"} or _and_another(words, i)
            if new_clause or new_noun or (ends and not first):
                break
            out[i] = True
    return out


def _and_another(words: Sequence[Word], i: int) -> bool:
    after = _clause(words, i + 1, 1)
    return words[i].text == "and" and bool(after) and (after[0].article or after[0].text in _COUNTS)


def _list_goes_on(words: Sequence[Word], start: int) -> bool:
    """Return whether "or" follows within the next few words of bare nouns: "no cars, people or dogs"."""
    for word in words[start : start + _REACH]:
        if word.text in ("or", "nor"):
            return True
        if word.article or (word.starts and not word.after_comma) or word.text in _FUNCTION_WORDS:
            return False
    return False


def _persons(words: Sequence[Word], rules: Rules) -> Iterator[Match]:
    """Yield the words for people, from left to right. An attribute's own word for a concept may be one of them."""
    i = 0
    while i < len(words):
        match = _person_at(words, rules, i)
        if match is not None:
            yield match
        i = i + 1 if match is None else match.end


def _person_at(words: Sequence[Word], rules: Rules, i: int) -> Match | None:
    for phrases in (rules.persons, rules.stated, _PERSONS):
        match = phrases.at(words, i)
        if match is not None and not _names_a_thing(words, match.end) and not _consists_of_others(words, match):
            return match
    match = _NOUNS.at(words, i) or (Match(i, i + 1, PERSON) if _looks_like_a_person(words[i]) else None)
    if match is None or not _noun_ends(words, match.end) or (i and words[i - 1].text in _VERB_BEFORE):
        return None
    if _consists_of_others(words, match):
        return None
    return match


def _looks_like_a_person(word: Word) -> bool:
    """Return whether a word has a suffix typical of words for people: gardener, sculptor, dentist, fireman."""
    for form in word.forms:
        known_thing = form in _NOT_PERSONS or form in _THINGS
        if len(form) > 4 and form.endswith(_SUFFIXES) and not known_thing and form not in _FUNCTION_WORDS:
            return not _NOT_PERSONS.intersection(word.forms)
    return False


def _names_a_thing(words: Sequence[Word], i: int) -> bool:
    """Return whether word `i` turns the person before it into a thing: "doctor costume"."""
    return any(_THINGS.intersection(word.forms) for word in _clause(words, i, 1))


def _consists_of_others(words: Sequence[Word], match: Match) -> bool:
    """Return whether a plural after "of" says what the group consists of: "a family of ducks", not "of a ship"."""
    after = _clause(words, match.end, 2)
    if len(after) < 2 or after[0].text != "of" or not _COLLECTIVES.intersection(words[match.end - 1].forms):
        return False
    return len(after[1].forms) > 1 and not after[1].article


def _noun_ends(words: Sequence[Word], i: int) -> bool:
    """Return whether a noun may end before word `i`: at the end of a clause, or where no other noun can follow."""
    after = _clause(words, i, 1)
    if not after or after[0].article:
        return True
    word = after[0]
    verb = word.text.endswith(("ing", "ed", "ly")) or (word.text.endswith("s") and not words[i - 1].text.endswith("s"))
    return word.text in _FUNCTION_WORDS or word.text.isdigit() or (verb and not _names_a_thing(words, i))


def _disguised(words: Sequence[Word], persons: Sequence[Match]) -> set[int]:
    """Return the starts of words for people that only describe a disguise: "a cat dressed as a doctor"."""
    hidden: set[int] = set()
    first = min((person.start for person in persons), default=len(words))
    for match in _DISGUISES.all(words):
        if match.start <= first:
            reach = len(_clause(words, match.end, _REACH))
            hidden.update(range(match.end, match.end + reach))
    return hidden


def _statements(
    words: Sequence[Word], rules: Rules, persons: Sequence[Match], silent: Sequence[bool]
) -> Iterator[Match]:
    heads = {match.start for match in persons}
    for i in range(len(words)):
        match = rules.stated.at(words, i)
        if match is None:
            match = rules.of_persons.at(words, i)
            if match is not None and not _is_of_a_person(words, match, heads):
                match = None
        if match is not None and not silent[i]:
            yield match


def _is_of_a_person(words: Sequence[Word], match: Match, heads: set[int]) -> bool:
    """Return whether `match` describes a person. `heads`: where the words for people begin."""
    if words[match.end - 1].hyphen:
        return False
    for i in range(match.end, min(match.end + 4, len(words))):
        word = words[i]
        joins = i == match.end and word.text == "and"
        listing = i == match.end and word.after_comma and words[match.start].article
        if (word.starts and not listing) or (word.article and i > match.start):
            break
        if i in heads:
            return True
        if (word.text in _FUNCTION_WORDS and not joins) or word.text in _DESCRIBED:
            break
        if not _THINGS.isdisjoint(word.forms):
            break
    return _is_predicate(words, match, heads)


def _is_predicate(words: Sequence[Word], match: Match, heads: set[int]) -> bool:
    """Return whether `match` is used as in "a doctor who is very old"."""
    i = match.start - 1
    if not _noun_ends(words, match.end):
        return False
    if i >= 0 and words[i].text == "not" and not words[match.start].starts:
        return True  # "a doctor, not old"
    while i > 0 and words[i].text in _DEGREES:
        i -= 1
    subject = i > 0 and words[i].text in _COPULAS and (words[i - 1].text in ("who", "that") or i - 1 in heads)
    return subject and not any(word.starts for word in words[i : match.start + 1])


def _clause(words: Sequence[Word], start: int, count: int) -> Sequence[Word]:
    """Return up to `count` words from `start` on that belong to the same clause as the word before."""
    for i in range(start, min(start + count, len(words))):
        if words[i].starts:
            return words[start:i]
    return words[start : start + count]


def _quote(words: Sequence[Word], match: Match) -> str:
    text = "".join(word.text + ("-" if word.hyphen else " ") for word in words[match.start : match.end])
    return text.rstrip(" -")[:60]


def _alternatives(groups: Sequence[str]) -> str:
    *first, last = groups
    return f"{', '.join(first)} or {last}" if first else last
