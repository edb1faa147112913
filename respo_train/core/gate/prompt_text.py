"""Split a prompt into words, ignoring weights, brackets, LoRA tags, underscores in tags and typographic signs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from ..files.text import limited

MAX_CHARACTERS = 50_000  # far more than any text encoder reads

# Each pattern reads a character at most twice, so no text can make them slow.
_TAGS = re.compile(r"<[^<>]*>|\bembedding:[^\s,()]+")
_WEIGHT = re.compile(r":[ ]?\d+(?:\.\d+)?(?=[\s)\]},|]|$)")
_TOKEN = re.compile(
    r"(?P<word>[^\W\d_]+(?:'[^\W\d_]+)*|\d+)(?P<possessed>')?(?P<hyphen>-(?=\w))?|(?P<end>[,.;:!?|/\n–—])"
)
_SIGNS = str.maketrans({"’": "'", "‘": "'", "\u02bc": "'", "`": "'", "\u2010": "-", "\u2011": "-", "_": " "})
_ARTICLES = {"a", "an", "the"}
# After these, "'s" is short for "is"; after any other word it is a possessive.
_PRONOUNS = {"he", "she", "it", "that", "who", "what", "there", "here", "let"}
_IRREGULAR = {"children": "child", "wives": "wife", "housewives": "housewife", "selves": "self"}


@dataclass(frozen=True)
class Word:
    """One word of a prompt, in lower case. An article is not a word of its own but a flag of the next word.

    `forms`: the word and the singulars it may be the plural of. `starts`: whether it begins a clause (nothing before
    it, or a sign that ends one). `after_comma`: whether that sign was a comma. `hyphen`: whether the next word is
    joined to it ("dark-skinned").
    """

    text: str
    forms: tuple[str, ...]
    article: bool
    starts: bool
    after_comma: bool
    hyphen: bool
    possessive: bool


def read_words(prompt: str, what: str = "a prompt", most: int = MAX_CHARACTERS) -> list[Word]:
    """Return the words of a prompt, in time linear in its length.

    The contents of brackets, weights, `{one|other}` and BREAK count as plain text; file names (`<lora:…>`,
    `embedding:…`) do not. Raises RespoError when `prompt` is not text or is longer than `most`, as it is or with its
    ligatures taken apart.
    """
    words: list[Word] = []
    end, article, joined = "start", False, False  # `joined`: to the word before, by a hyphen
    for token in _TOKEN.finditer(_plain(limited(prompt, what, most), what, most)):
        if token["end"]:
            end = token["end"]
            continue
        hyphen = token["hyphen"] is not None
        for text, possessive in _parts(token["word"], token["possessed"] is not None):
            if text == "break" and not joined:
                end = "break"
            elif text in _ARTICLES and not hyphen and not joined:
                article = True
            else:
                words.append(Word(text, _forms(text), article, bool(end), end == ",", hyphen, possessive))
                end, article = "", False
        joined = hyphen
    return words


def _plain(prompt: str, what: str, most: int) -> str:
    # Via upper case, to merge letters that only match there ("i" and the dotless i).
    text = unicodedata.normalize("NFKC", prompt).upper().casefold().translate(_SIGNS)
    limited(text, what, 2 * most)  # a ligature can stand for 18 letters, a letter for two
    return _WEIGHT.sub(" ", _TAGS.sub(" , ", text)).replace("\\", " ")


def _parts(word: str, possessed: bool) -> Iterator[tuple[str, bool]]:
    """Yield "isn't" as is, not; "who's" as who, is; "doctor's" as doctor, possessive."""
    stem, apostrophe, ending = word.rpartition("'")
    if not apostrophe:
        yield word, possessed and word.endswith("s")
    elif word.endswith("n't"):
        yield word[:-3], False
        yield "not", False
    elif ending == "s" and stem not in _PRONOUNS:
        yield stem, True
    else:
        yield stem, False
        yield ("is" if ending == "s" else "are"), False


def _forms(word: str) -> tuple[str, ...]:
    """Return the word and the singulars it may be the plural of; not all of them need be words."""
    found = [word]
    if word in _IRREGULAR:
        found.append(_IRREGULAR[word])
    elif word.endswith("men"):
        found.append(f"{word[:-3]}man")
    elif word.endswith("ies"):
        found += [f"{word[:-3]}y", word[:-1]]
    elif word.endswith(("ses", "xes", "ches", "shes")):
        found += [word[:-2], word[:-1]]
    elif word.endswith("s") and not word.endswith("ss"):
        found.append(word[:-1])
    return tuple(found)
