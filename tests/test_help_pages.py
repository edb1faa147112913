"""Help pages: one for each node, and a translation holds what the English page holds.

The page shows `web/docs/<node>/<language>.md` where there is one, else `web/docs/<node>.md`, and takes pictures from
`web/docs` in either case. Wording is free; what is counted here is not, so a page that was changed in one language only
fails. To add a language put its pages there and its code into LANGUAGES; names are those of its `locales` folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from benchmarks import locales

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "web" / "docs"
# Each with the letters that are its own: what has none of them has not been translated.
LANGUAGES = {"ko": re.compile("[\uac00-\ud7a3]")}
NUMBER = re.compile(r"\d+(?:[.,]\d+)*|\.\d+")
# English spells these out where other languages write digits.
SPELT_OUT = {str(number) for number in range(1, 13)} | {"100"}


def names_of(language: str) -> dict[str, dict]:
    """The nodes' names and tooltips; in English where a language has no translation yet, as the page shows them."""
    texts = locales.read(ROOT / "locales" / "en" / "nodeDefs.json")
    return locales.nested(texts | locales.read(ROOT / "locales" / language / "nodeDefs.json"))


NODES = sorted(names_of("en"))
each_translation = pytest.mark.parametrize(
    ("node", "language"),
    [(node, language) for language in LANGUAGES for node in NODES if (DOCS / node / f"{language}.md").exists()],
)


def path_of(node: str, language: str) -> Path:
    return DOCS / f"{node}.md" if language == "en" else DOCS / node / f"{language}.md"


def read(node: str, language: str) -> str:
    return path_of(node, language).read_text(encoding="utf-8")


def tokens(page: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page)


def outline(page: str) -> list[tuple[str, str, str]]:
    """Headings with their levels, paragraphs, items, rows and cells in order; blocks of code with what is in them."""
    return [(token.type, token.tag, token.content if token.type == "fence" else "") for token in tokens(page)]


def texts(page: str) -> list[list[Token]]:
    """The pieces of each paragraph, heading, item and cell; the same number in every language, by the outline."""
    return [token.children or [] for token in tokens(page) if token.type == "inline"]


def pieces(page: str, kind: str) -> list[Token]:
    return [piece for text in texts(page) for piece in text if piece.type == kind]


def plain(text: list[Token]) -> str:
    return "".join(" " if piece.type == "softbreak" else piece.content for piece in text)


def stressed(page: str) -> Iterator[str]:
    """What is in bold or in italics, as one line."""
    for text in texts(page):
        kinds = [piece.type for piece in text]
        for start, kind in enumerate(kinds):
            if kind in ("strong_open", "em_open"):
                inside = text[start + 1 : kinds.index(kind.replace("open", "close"), start)]
                yield plain(inside)


def messages(page: str) -> list[str]:
    """Quoted messages: the pack says them in English, whatever the page's language."""
    return [words for words in stressed(page) if words.startswith('"')]


def translated_names(node: str, language: str) -> dict[str, str]:
    """Names of nodes, inputs and outputs in English to those in the language; the node's own win over the others'."""
    english, other = names_of("en"), names_of(language)
    names: dict[str, str] = {}
    for key in [*NODES, node]:
        for kind in ("inputs", "outputs"):
            for part, words in english[key].get(kind, {}).items():
                names[words["name"]] = other[key][kind][part]["name"]
    return names | {english[key]["display_name"]: other[key]["display_name"] for key in NODES}


def test_every_node_has_a_page() -> None:
    assert [node for node in NODES if not path_of(node, "en").is_file()] == []


def test_there_is_no_page_of_anything_else() -> None:
    known = {path_of(node, language) for node in NODES for language in ("en", *LANGUAGES)}
    assert set(DOCS.rglob("*.md")) - known == set()


@each_translation
def test_headings_paragraphs_items_tables_and_blocks_of_code(node: str, language: str) -> None:
    assert outline(read(node, language)) == outline(read(node, "en"))


@each_translation
def test_pictures(node: str, language: str) -> None:
    there, here = pieces(read(node, "en"), "image"), pieces(read(node, language), "image")
    assert [image.attrs["src"] for image in here] == [image.attrs["src"] for image in there]
    assert all((DOCS / str(image.attrs["src"])).is_file() for image in here)
    assert all(LANGUAGES[language].search(image.content) for image in here)


@each_translation
def test_code_in_the_text(node: str, language: str) -> None:
    there, here = (Counter(code.content for code in pieces(read(node, key), "code_inline")) for key in ("en", language))
    assert here == there


@each_translation
def test_numbers(node: str, language: str) -> None:
    """In each paragraph and cell by itself, so that numbers that changed places are found, too."""
    there, here = (
        [Counter(NUMBER.findall(plain(text))) for text in texts(read(node, key))] for key in ("en", language)
    )
    for wanted, found in zip(there, here, strict=True):
        assert wanted - found == Counter()
        assert set(found - wanted) <= SPELT_OUT


@each_translation
def test_quoted_messages(node: str, language: str) -> None:
    assert messages(read(node, language)) == messages(read(node, "en"))


@each_translation
def test_nodes_inputs_and_outputs_have_the_names_that_the_page_shows(node: str, language: str) -> None:
    names = translated_names(node, language)
    there, here = ([*stressed(read(node, key))] for key in ("en", language))
    wanted = Counter(names[words] for words in there if words in names)
    assert wanted - Counter(here) == Counter()
    assert {words for words in here if not LANGUAGES[language].search(words)} <= {*there, *names.values()}


@each_translation
def test_english_names_stand_behind_those_of_the_node(node: str, language: str) -> None:
    """Messages, saved workflows and pages of ComfyUI that do not translate packs (frontend 1.32) have no others."""
    english, other, page = names_of("en")[node], names_of(language)[node], " ".join(read(node, language).split())
    assert page.startswith(f"# {other['display_name']} ({english['display_name']}) ")
    for key, part in english["inputs"].items():
        if (name := other["inputs"][key]["name"]) != part["name"]:
            assert f"**{name}**({part['name']})" in page


@each_translation
def test_nothing_is_left_in_english(node: str, language: str) -> None:
    page = read(node, language)
    paragraphs = re.split(r"\n\s*\n", re.sub(r"```.*?```", "", page, flags=re.DOTALL))
    assert [words for words in paragraphs if words.strip() and not LANGUAGES[language].search(words)] == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.relative_to(DOCS).as_posix())
def test_stress_is_closed_where_markdown_sees_it(page: Path) -> None:
    """`**a)**b` shows its stars: a closing mark between a bracket or a quote and a letter does not count."""
    shown = [piece.content for piece in pieces(page.read_text(encoding="utf-8"), "text")]
    assert [words for words in shown if "*" in words] == []
