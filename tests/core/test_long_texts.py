"""No text costs more than its length: every parser, long texts of bad shapes. A new parser must have a line here."""

from __future__ import annotations

import ast
import contextlib
import gc
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from respo_train.core.counting.balance import MAX_CONCEPTS, assign, parse_shares
from respo_train.core.counting.fairness import concepts_of
from respo_train.core.counting.joint import assign_jointly
from respo_train.core.counting.labels import parse_labels
from respo_train.core.counting.running_total import from_text as total_from_text
from respo_train.core.counting.running_total import mended
from respo_train.core.counting.seats import parse_given
from respo_train.core.counting.workflow_key import named_files
from respo_train.core.errors import RespoError
from respo_train.core.files.header import parse_json
from respo_train.core.files.text import LONGEST, limited
from respo_train.core.files.text_form import from_text as module_from_text
from respo_train.core.foreign.names import parse_concepts
from respo_train.core.gate.decide import decide
from respo_train.core.gate.is_open import words_of
from respo_train.core.gate.word_rules import read_rules
from respo_train.core.module.attribute import check_name
from respo_train.judges.clip_prompts import parse_prompts
from respo_train.settings.preset_files import parse_config

ROOT = Path(__file__).resolve().parents[2]
NOTHING: Any = SimpleNamespace(concepts=(), words={})  # an attribute that has no words of its own
WORDS = {"woman": ["woman", "she", "dark *"], "man": ["man"]}


# Where text of strangers is parsed -> how to let it be parsed.
PARSERS: dict[str, Callable[[str], object]] = {
    "core/counting/balance.py: parse_shares": parse_shares,
    "core/counting/fairness.py: concepts_of": lambda text: concepts_of(("woman", "man"), text),
    "core/counting/labels.py: parse_labels": lambda text: parse_labels(text, 3),
    "core/counting/running_total.py: from_text": total_from_text,
    "core/counting/running_total.py: mended": mended,
    "core/counting/seats.py: parse_given": lambda text: parse_given(text, [("woman", "man"), ("light", "dark")]),
    "core/counting/workflow_key.py: named_files": lambda text: named_files(
        {"1": {"class_type": "Any", "inputs": {text: True, "module": text}}}, "1", ".safetensors"
    ),
    "core/files/header.py: parse_json": lambda text: parse_json(text, "the header"),
    "core/files/text_form.py: from_text": module_from_text,
    "core/foreign/names.py: parse_concepts": parse_concepts,
    "core/gate/is_open.py: words_of": lambda text: read_rules(words_of(NOTHING, text)),
    "core/gate/prompt_text.py: read_words": lambda text: decide(text, WORDS),
    "core/module/attribute.py: check_name": lambda text: check_name("name", text),
    "judges/clip_prompts.py: parse_prompts": parse_prompts,
    "settings/toml_text.py: parse_toml": lambda text: parse_config(text, "custom_preset"),
}
# What begins a text, what is repeated in it ("{}": a running number), and what ends it.
SHAPES = [
    *[("", unit, "") for unit in (" ", "\n", "\r", ",", "1", ".", "a", '"', "'", "[", "{", "(", "<", "\\", "-", ":1")],
    *[("", unit, "") for unit in ("a,", "a;", "{}=1\n", "{} 1,", "x{}: a\n", "[[a]]\n", "[s{}]\nx=1\n", "a.b{}=1\n")],
    *[("", unit, "") for unit in ("no man of ", "not, ", "looks like man ", "embedding:", "\ufdfa", "\u0301", "a'")],
    *[("x", "  ", ""), ("x", "  ", "x"), ("[a]\nx", "  ", "\ny"), ("[a]\n", " =", ""), ("[a]\nx=1\n", " y\n", "")],
    *[
        ("", "a.", "a=1"),
        ("[", "a.", "a]"),
        ("a=", "[", ""),
        ("a=", "{a=", ""),
        ("a={", "a.", "a=1}"),
        ("a='", "a", ""),
    ],
    *[('a="""', '"x', ""), ("", '"""\n', ""), ('a="', '\\"', ""), ("steps=0x", "f", ""), ("a=0.", "1", "")],
    *[("", f'"{"0" * 16}": ["', ""), ("", f'"{"0" * 16}": ["\\\\", "', "")],
    *[('{"a":1', ',"b{}":1', "}"), ("[", "[],", "1]"), ("looks like " * 2000, "man ", ""), ("woman ", "1", "")],
]
SIZES = (LONGEST // 5, LONGEST, 10 * LONGEST)
LESS = 8  # times shorter is the text that each is compared with
NOISE = 0.05  # seconds of the processor, below which nothing is compared
ROOM = 100 * 2**20  # bytes


def spelled(shape: tuple[str, str, str], length: int) -> str:
    head, unit, tail = shape
    count = (length - len(head) - len(tail)) // len(unit.replace("{}", str(length)))
    middle = "".join(unit.replace("{}", str(number)) for number in range(count)) if "{}" in unit else unit * count
    return head + middle + tail


def seconds(parse: Callable[[str], object], text: str) -> float:
    """Return what it takes, and let nothing but our own error pass."""
    gc.freeze()  # or collecting the garbage of what it makes would look through all that other tests have left
    began = time.process_time()
    with contextlib.suppress(RespoError):
        parse(text)
    spent = time.process_time() - began
    gc.unfreeze()
    return spent


def grows(parse: Callable[[str], object], shape: tuple[str, str, str], length: int) -> bool:
    """Return whether a text takes far longer than its length says, measured by a shorter one of the same shape."""
    whole, part = (spelled(shape, size) for size in (length, length // LESS))
    if seconds(parse, whole) < NOISE:
        return False
    # Three times, as something else may have been in the way.
    return all(seconds(parse, whole) >= 3 * LESS * seconds(parse, part) + NOISE for _ in range(3))


@pytest.mark.parametrize("name", PARSERS)
def test_no_text_takes_longer_than_its_length(name: str) -> None:
    assert [(shape, length) for shape in SHAPES for length in SIZES if grows(PARSERS[name], shape, length)] == []


@pytest.mark.parametrize("name", PARSERS)
def test_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        for shape in SHAPES:
            tracemalloc.reset_peak()
            seconds(PARSERS[name], spelled(shape, LONGEST))
            assert tracemalloc.get_traced_memory()[1] < ROOM, shape
    finally:
        tracemalloc.stop()


def test_what_grows_faster_is_noticed() -> None:
    bad = re.compile(r"(.*?)\s*(=.*)?!").fullmatch
    assert grows(bad, ("x", "  ", ""), 3000)
    assert not grows(str.strip, ("x", "  ", ""), 6000)


PARSES = re.compile(
    r"(^|\.)(loads|read_string|DictReader|splitlines|split|rsplit|r?partition|parse_json|parse_toml|limited)$"
    r"|(^re|[A-Z])\.(match|fullmatch|search|findall|finditer|split|sub)$"
)
FOLDERS = ("core/counting", "core/files", "core/foreign", "core/gate", "core/module", "judges", "settings")
# What takes text apart and needs no line above, and why.
PARTS = {
    "core/counting/balance.py: _seem_labels": "of parse_shares",
    "core/counting/fairness.py: asked_for": "one label, of parse_labels",
    "core/counting/fairness.py: attribute_of": "labels of parse_labels",
    "core/counting/labels.py: _advice": "of parse_labels",
    "core/counting/labels.py: for_file_name": "one label, of parse_labels",
    "core/counting/total_file.py: _beginning": "our own text",
    "core/counting/seats.py: _given": "one line, of parse_given",
    "core/files/checkpoint.py: _metadata": "parse_json, of a header of 1 MiB",
    "core/files/checkpoint.py: _with_sorted_header": "what we are about to write",
    "core/files/header.py: header_of": "parse_json, of 1 MiB",
    "core/files/text_form.py: _essential": "of from_text",
    "core/files/text_form.py: _not_a_module": "of from_text",
    "core/foreign/plan.py: _global": "a name in a pickle of 64 KiB",
    "core/gate/prompt_text.py: _parts": "one word, of read_words",
    "core/gate/prompt_text.py: _plain": "of read_words",
    "core/gate/word_rules.py: listed": "our own lists",
    "core/module/tokens.py: attribute_at": "our own table of families",
    "judges/clip_prompts.py: _question": "of parse_prompts",
    "judges/clip_prompts.py: _tidied": "of parse_prompts",
    "judges/package.py: release": "a package's version",
    "settings/preset_files.py: _read": "parse_toml",
    "settings/preset_files.py: parse_config": "parse_toml",
    "judges/clip.py: _refused": "an error's text",
    "judges/face_networks.py: __init__": "a package's own manifest",
    "core/files/write.py: sweep": "a file's name",
    "core/counting/metrics.py: _resampled_ratios": "numbers, no text",
    "judges/clip_files.py: _json": "parse_json",
    "judges/clip_files.py: _tokens": "lines of two words; tried with hostile files",
    "judges/emoji_world.py: load_judge": "a header, whose size safetensors limits",
}


def parsers() -> Iterator[str]:
    for folder in FOLDERS:
        for path in sorted((ROOT / "respo_train" / folder).glob("*.py")):
            for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(function, ast.FunctionDef):
                    calls = [ast.unparse(call.func) for call in ast.walk(function) if isinstance(call, ast.Call)]
                    # Pictures are split, too.
                    if any(PARSES.search(call) and "images" not in call and "softmax" not in call for call in calls):
                        yield f"{folder}/{path.name}: {function.name}"


def test_every_parser_has_a_line() -> None:
    assert {*PARSERS, *PARTS} == set(parsers())


def test_the_limit_is_said() -> None:
    for text, said in (("a" * 11, "at most 10 characters, found 11"), (7, "as text, found int")):
        with pytest.raises(RespoError, match=said):
            limited(text, "the words", 10)  # type: ignore[arg-type]


def test_many_concepts_are_assigned() -> None:
    shares = {f"c{number:03}": Fraction(1, MAX_CONCEPTS) for number in range(MAX_CONCEPTS)}
    assert sorted(assign(0, MAX_CONCEPTS, shares)) == sorted(shares)
    with pytest.raises(RespoError, match="at most 256 concepts"):
        parse_shares(", ".join(f"c{number} 1" for number in range(MAX_CONCEPTS + 1)))


@pytest.mark.parametrize(("first", "second"), [(39, 256), (100, 100), (256, 39), (2, 256)])
def test_many_combinations(first: int, second: int) -> None:
    attributes: list[dict[str, Any]] = [
        {f"{letter}{number}": Fraction(1, count) for number in range(count)}
        for letter, count in (("a", first), ("b", second))
    ]
    if first * second * max(first, second) > 500_000:
        with pytest.raises(RespoError, match="Leave some concepts out"):
            assign_jointly(0, range(4), attributes)
    else:
        assert len(set(assign_jointly(0, range(first * second), attributes))) == first * second
