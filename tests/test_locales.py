"""Each translation says what its English text says now. What is not translated yet is shown in English.

To add a language: copy locales/en, translate the values (never the keys, nor what is quoted or typed into a widget),
call the nodes of ComfyUI what its own locale calls them, and add the language to SAME. `python -m benchmarks.locales`
lists what is still to be translated, and takes out translations whose English text has changed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import locales

ROOT = Path(__file__).resolve().parent.parent
LOCALES = ROOT / "locales"
FILES = (locales.NODES, locales.SETTINGS)
# The languages, and which texts each leaves as they are in English: terms of the field, and words that are the same.
_EVERYWHERE = {"sha256", "clip", "vae", "cfg", "t", "json"}
SAME: dict[str, set[str]] = {
    "de": {"sha256", "t"},
    "es": _EVERYWHERE | {"base", "prompt"},
    "fr": _EVERYWHERE
    | {"Audit", "base", "concept", "concept a", "concept b", "concepts", "images", "latent", "page", "prompt"}
    | {"module", "module 2", "module 3", "module a", "module b"},
    "ja": _EVERYWHERE,
    "ko": _EVERYWHERE,
    "zh": _EVERYWHERE,
}
PROPER_NAMES = ("Learning Where It Matters", "Emoji World", "Respo", "Python")
# Numbers, file names, dates, inputs, acronyms. KSampler is not among them: some of ComfyUI's locales translate it.
_LITERAL = re.compile(
    r"%[^%]+%|\w+(?:[./]\w+)+|(?<!\w)\.\w+|\w+_\w+|\b(?=\w*\d|\w*[A-Z]\w*[A-Z])(?!KSampler\b)\w+?(?=s?\b)"
)
_QUOTED = re.compile(r"(?<!\w)'([^']+)'(?!\w)")
_OPTION = re.compile(r"(?:^|[.;] )([a-z][a-z' ]*):")  # sentences begin with a capital, except for a combo's options
_COMPILED = re.compile(r"[{}@|]")


def load(language: str, name: str) -> dict[str, str]:
    """Return {key with dots: text} of one file."""
    return locales.read(LOCALES / language / f"{name}.json")


ENGLISH = {name: load("en", name) for name in FILES}
TRANSLATED_FROM = json.loads(locales.TRANSLATED_FROM.read_text(encoding="utf-8"))
NODES = ENGLISH[locales.NODES]
DISPLAY_NAMES = {text: key for key, text in NODES.items() if key.endswith(".display_name")}


@pytest.fixture(params=sorted(SAME))
def language(request: pytest.FixtureRequest) -> str:
    """One of the languages that the pack is translated into."""
    return str(request.param)


@pytest.fixture
def texts(language: str) -> dict[str, str]:
    """What the nodes say in that language, by key."""
    return load(language, "nodeDefs")


def test_the_languages_are_those_listed_here() -> None:
    assert {path.name for path in LOCALES.iterdir()} == {"en", *SAME}


@pytest.mark.parametrize("name", FILES)
def test_no_key_is_of_something_that_is_gone(language: str, name: str) -> None:
    assert sorted(load(language, name).keys() - ENGLISH[name].keys()) == []


@pytest.mark.parametrize("name", FILES)
def test_no_english_text_has_changed_since_it_was_translated(language: str, name: str) -> None:
    made_from = {key: TRANSLATED_FROM[name].get(key) for key in load(language, name)}
    changed = {key: ENGLISH[name].get(key) for key, text in made_from.items() if text != ENGLISH[name].get(key)}
    assert changed == {}, "run python -m benchmarks.locales: it takes the old translations out and prints them"


def test_no_translation_is_the_english_text(language: str) -> None:
    """But for the words that are the same; what is not translated yet is left out."""
    theirs = {name: load(language, name) for name in FILES}
    pairs = [(text, ENGLISH[name].get(key)) for name in FILES for key, text in theirs[name].items()]
    assert all(text and text == text.strip() for text, _ in pairs)
    assert {text for text, english in pairs if text == english} == SAME[language], "in English"


def test_a_text_is_translated_the_same_everywhere(texts: dict[str, str]) -> None:
    """One English sentence, one translation; a word (a name) may need another one beside another node."""
    seen: dict[str, set[str]] = {}
    for key, english in NODES.items():
        if english.endswith(".") and key in texts:
            seen.setdefault(english, set()).add(texts[key])
    assert [found for found in seen.values() if len(found) > 1] == []


@pytest.mark.parametrize("language", ["en", *sorted(SAME)])
@pytest.mark.parametrize("name", FILES)
def test_nothing_that_the_page_would_take_for_a_placeholder(language: str, name: str) -> None:
    """The page compiles every text as a message, where these have a meaning: it throws instead of showing the text."""
    assert [key for key, text in load(language, name).items() if _COMPILED.search(text)] == []


def own_names(texts: dict[str, str], node: str) -> dict[str, str]:
    """Return {what an input or output is called in English: what it is called here} of a node, else of any node."""
    named = [key for key in NODES if key.endswith(".name") and key in texts]
    named.sort(key=lambda key: key.startswith(f"{node}."))
    return {NODES[key]: texts[key] for key in named}


def lost(key: str, english: str, text: str, texts: dict[str, str]) -> list[str]:
    """Return what a translation has to keep of the English text and does not: as it is, or by its name here."""
    names = own_names(texts, key.split(".")[0])
    english = english.replace("e.g.", "")
    wanted = [(part, {part, names.get(part, part)}) for part in _QUOTED.findall(english)]
    wanted += [(part, {part}) for part in _OPTION.findall(english)]
    wanted += [(part, {part}) for part in PROPER_NAMES if _has(english, part)]
    wanted += [(part, {names.get(part, part)}) for part in _LITERAL.findall(english)]
    return [part for part, accepted in wanted if not any(_has(text, one) for one in accepted)]


def _has(text: str, part: str) -> bool:
    """Whether a part is there and is not the part of a longer number or English word."""
    return re.search(rf"(?<![a-zA-Z\d]){re.escape(part)}(?![a-zA-Z\d])", text, re.ASCII) is not None


def test_numbers_quotes_and_options_are_kept(texts: dict[str, str]) -> None:
    prose = {key: text for key, text in NODES.items() if not key.endswith(".name") and key in texts}
    found = {key: lost(key, english, texts[key], texts) for key, english in prose.items()}
    assert {key: parts for key, parts in found.items() if parts} == {}


def test_nodes_are_called_by_their_names(texts: dict[str, str]) -> None:
    """A tooltip that sends people to another node says what that node is called in their language."""
    wrong = []
    for key, english in NODES.items():
        here = [texts.get(DISPLAY_NAMES[name], name) for name in mentioned(english)]
        if key in texts and not key.endswith("name"):
            wrong += [f"{key}: {name}" for name in here if name not in texts[key]]
    assert wrong == []


def mentioned(english: str) -> list[str]:
    """Return the nodes that a text names. At the beginning of a sentence a single word may be just a word."""
    for proper in PROPER_NAMES:
        english = english.replace(proper, "")
    names = "|".join(sorted(DISPLAY_NAMES, key=len, reverse=True))
    found = re.finditer(rf"(?<!\w)({names})(?!\w)", english)
    return [hit[1] for hit in found if " " in hit[1] or (hit.start() and english[hit.start() - 2] not in ".:")]


def test_the_setting_is_the_one_in_the_script() -> None:
    script = (ROOT / "web" / "js" / "settings.js").read_text(encoding="utf-8")
    ids = re.findall(r'^ +id: "([^"]+)"', script, re.MULTILINE)
    assert ids
    for part in ("name", "tooltip"):
        said = re.findall(rf'^ {{6}}{part}: "([^"]+)"', script, re.MULTILINE)
        assert said == [ENGLISH["settings"][f"{one.replace('.', '_')}.{part}"] for one in ids]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Locales in English and French with one text each."""
    for code, text in {"en": "One.", "fr": "Un."}.items():
        (tmp_path / code).mkdir()
        locales.write(tmp_path / code / "nodeDefs.json", {"A": {"description": text}})
    return tmp_path


FRENCH = "locales/fr/nodeDefs.json: translate A.{}"
ONE = {"A.description": "One."}


def french(folder: Path) -> dict[str, str]:
    return locales.read(folder / "fr" / "nodeDefs.json")


def test_an_update_lists_what_is_new_and_leaves_it_to_the_english_file(folder: Path) -> None:
    english = ONE | {"A.inputs.new.name": "new"}
    assert locales.update(english, ONE, folder=folder) == (ONE, [FRENCH.format("inputs.new.name")])
    assert locales.read(folder / "en" / "nodeDefs.json") == english
    assert french(folder) == {"A.description": "Un."}


def test_an_update_removes_what_is_gone(folder: Path) -> None:
    assert locales.update({"A.inputs.new.name": "new"}, ONE, folder=folder)[0] == {}
    assert french(folder) == {}


def test_an_update_takes_a_translation_out_whose_english_text_has_changed(folder: Path) -> None:
    """Also where someone has changed the English file by hand; what is put back is then known to be new."""
    english = {"A.description": "Two."}
    locales.write(folder / "en" / "nodeDefs.json", locales.nested(english))
    found = locales.update(english, ONE, folder=folder)
    assert found == ({}, [FRENCH.format("description") + " again; it was 'Un.'"])
    assert french(folder) == {}
    locales.write(folder / "fr" / "nodeDefs.json", {"A": {"description": "Deux."}})
    assert locales.update(english, found[0], folder=folder) == (english, [])
    assert french(folder) == {"A.description": "Deux."}


def test_help_pages_that_are_not_translated_are_listed(tmp_path: Path) -> None:
    for page in ("A.md", "B.md", "A/ko.md"):
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text("# A page")
    assert locales.missing_pages({"A.description": "One.", "B.description": "Two."}, tmp_path) == [
        "web/docs/B/ko.md: translate web/docs/B.md"
    ]
