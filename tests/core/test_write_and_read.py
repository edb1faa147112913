"""Whatever a writer accepts, its reader reads back; what a reader would refuse, the writer refuses before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from respo_train.core.counting import running_total
from respo_train.core.counting.running_total import LARGEST, Total
from respo_train.core.errors import RespoError
from respo_train.core.files import checkpoint, text_form
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.probe import PromptProbe

Written = TypeVar("Written")
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)  # lone surrogates as well
LONG_TEXT = st.one_of(ANY_TEXT, st.builds(lambda letter, n: letter * n, st.characters(), st.integers(150, 260)))
FINITE = st.floats(0, 1, width=32) | st.sampled_from([1e-30, 1e-7, 65504.0, 65520.0, -0.0])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.just("x" * 2**20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


def written(write: Callable[..., Written], *arguments: Any) -> Written | None:
    """What a writer wrote, None where it refused."""
    with contextlib.suppress(RespoError):
        return write(*arguments)
    return None


@settings(deadline=None, max_examples=150)
@given(
    st.dictionaries(st.text("0123456789abcdef", min_size=15, max_size=17), st.tuples(LONG_TEXT, LONG_TEXT), max_size=4),
    st.dictionaries(ANY_TEXT, ANY_JSON, max_size=3),
)
def test_running_totals(pictures: dict[str, tuple[str, str]], about: dict[str, Any]) -> None:
    if (text := written(running_total.to_text, Total(pictures, about))) is not None:
        found = running_total.from_text(text)
        assert found.pictures == pictures
        assert running_total.to_text(found) == text


def test_a_total_that_is_too_large_is_refused_before_it_is_written() -> None:
    key = "0" * 16
    with pytest.raises(RespoError, match=r"at most 8,000,000 bytes, found 8,\d+,\d+: start the total anew"):
        running_total.to_text(Total({key: ("", "")}, {"texts": ["x" * LARGEST]}))
    with pytest.raises(RespoError, match="classes of at most 200 characters, found one of 201"):
        running_total.to_text(Total({key: ("", "x" * 201)}))


@st.composite
def attributes(draw: st.DrawFn) -> Attribute:
    names = draw(st.lists(st.sampled_from(["a", "woman", "é 1", "x" * 64]), min_size=1, max_size=3, unique=True))
    concepts = {name: ConceptModule(2, 1, 2, map_width=draw(st.sampled_from([None, 1]))) for name in names}
    for module in concepts.values():
        for parameter in module.parameters():
            numbers = draw(st.lists(FINITE, min_size=parameter.numel(), max_size=parameter.numel()))
            parameter.data = torch.tensor(numbers, dtype=torch.float32).reshape(parameter.shape)
    rows = [torch.tensor(draw(st.lists(FINITE, min_size=2, max_size=2)), dtype=torch.float32) for _ in range(5)]
    probe = (
        PromptProbe(rows[0], rows[1].abs() + 1e-30, rows[2], [rows[3][None]], rows[4]) if draw(st.booleans()) else None
    )
    words = draw(st.dictionaries(st.just("person"), st.lists(ANY_TEXT.map("a{}".format), max_size=2), max_size=1))
    told, base = (draw(st.dictionaries(ANY_TEXT, ANY_JSON, max_size=2)) for _ in range(2))
    architecture = Architecture("unet-2-2", 2, 2, 0, 2)
    return Attribute(
        "name", draw(st.sampled_from(["fairness", "safety"])), concepts, architecture, base, told, words, probe
    )


@st.composite
def accepted(draw: st.DrawFn) -> Attribute | None:
    with contextlib.suppress(RespoError):  # parts that do not fit together
        return draw(attributes())
    return None


@settings(deadline=None, max_examples=150)
@given(accepted(), st.sampled_from([torch.float32, torch.float16]))
def test_module_files(attribute: Attribute | None, dtype: torch.dtype) -> None:
    if attribute is not None and (data := written(checkpoint.to_bytes, attribute, dtype)) is not None:
        assert checkpoint.to_bytes(checkpoint.from_bytes(data, "x"), dtype) == data


@settings(deadline=None, max_examples=100)
@given(accepted())
def test_modules_as_text(attribute: Attribute | None) -> None:
    if attribute is not None and (text := written(text_form.to_text, attribute)) is not None:
        assert text_form.to_text(text_form.from_text(text)) == text
