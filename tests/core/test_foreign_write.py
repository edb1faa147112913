"""Back to the released layouts, bit for bit; see tests/foreign_files.py for the files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import foreign_files
import pytest
import torch
from foreign_files import FC1, FC2

from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import load_attribute, save_attribute
from respo_train.core.foreign.families import FAMILIES, family_named
from respo_train.core.foreign.names import parse_concepts
from respo_train.core.foreign.read import read_file
from respo_train.core.foreign.write import exported
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule

SD1 = Architecture("sd1", 320, 768, 0, 1280)


def make(
    kind: str = "grid", size: int = 8, semantic: bool = True, names: Any = ("a man", "tall"), **more: Any
) -> Attribute:
    generator = torch.Generator().manual_seed(0)
    concepts = {name: ConceptModule(1280, size, size, kind, 2 if kind == "low_rank" else None) for name in names}
    for module in concepts.values():
        for part in (module.responsible, module.semantic) if semantic else (module.responsible,):
            for parameter in part.parameters():
                parameter.data.normal_(generator=generator)
    return Attribute("kind", "fairness", concepts, SD1, {"name": "x"}, more)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(torch.int32 if tensor.dtype.itemsize == 4 else torch.int16)


RELEASED = {
    "respodiff": (foreign_files.respodiff, {"trained": (0, 3, 8)}, ["a woman", "old"], [0, 3]),
    "sdisc": (foreign_files.sdisc, {}, ["whiterace", "female"], [4, 0]),
    "where": (foreign_files.where, {"trained": (7, 8)}, ["smile", "jump"], [7, 8]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("key", RELEASED)
def test_there_and_back_bit_for_bit(tmp_path: Path, key: str, dtype: torch.dtype) -> None:
    """File -> attribute -> module file -> attribute -> file."""
    write, given, only, numbers = RELEASED[key]
    before = {name: tensor.to(dtype) for name, tensor in write(tmp_path / "in.pth", **given).items()}
    for tensor in before.values():  # what arithmetic would lose: zeros with a sign, numbers below the normal ones
        family_named(key).column(tensor, numbers[0])[:3] = torch.tensor([-0.0, torch.finfo(dtype).tiny / 2, 0.0]).to(
            dtype
        )
    torch.save(before, tmp_path / "in.pth")
    save_attribute(tmp_path / "m.safetensors", read_file(tmp_path / "in.pth", only=only).attribute)
    done = exported(load_attribute(tmp_path / "m.safetensors"), family_named(key))
    done.save(tmp_path / "out.pth")
    after = torch.load(tmp_path / "out.pth", weights_only=True)
    assert after.keys() == before.keys()
    for name in before:
        assert (after[name].shape, after[name].dtype) == (before[name].shape, dtype)
        for number in range(family_named(key).places(before[name])):
            was, now = (family_named(key).column(bits(file[name]), number) for file in (before, after))
            assert torch.equal(now, was if number in numbers else torch.zeros_like(was))
    room = family_named(key).count
    assert done.notes == (f"{room - 2} places of other concepts are zero",)
    listed = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert json.loads(listed) == dict(zip(only, numbers, strict=True))
    again = read_file(tmp_path / "out.pth", parse_concepts(listed), name="again")
    assert list(again.attribute.concepts) == only
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pth", "m.safetensors", "out.json", "out.pth"]


def test_a_module_of_our_own(tmp_path: Path) -> None:
    attribute = replace(make(), words={"tall": ["big"]})
    done = exported(attribute, FAMILIES["respodiff"])
    assert done.numbers == {"a man": 1, "tall": 0}  # the paper's place, and the first free one
    done.save(tmp_path / "own.pth")
    read = read_file(tmp_path / "own.pth", done.numbers).attribute
    for name, module in attribute.concepts.items():
        for part in ("responsible", "semantic"):
            assert torch.equal(getattr(read.concept(name), part).value(), getattr(module, part).value())
    assert done.notes[1] == "not in the file: words that tell which prompts leave it open"
    assert done.tensors[FC1].shape == done.tensors[FC2].shape == (81_920, 10)


def test_low_rank_is_written_as_what_it_adds(tmp_path: Path) -> None:
    attribute = make("low_rank")
    exported(attribute, FAMILIES["respodiff"]).save(tmp_path / "x.pth")
    read = read_file(tmp_path / "x.pth", {"a man": 1, "tall": 0}).attribute
    assert torch.equal(read.concept("tall").responsible.value(), attribute.concept("tall").responsible.value())


def test_one_number_a_channel_fits_all_three() -> None:
    for key in ("sdisc", "where"):
        done = exported(make("channel", semantic=False), FAMILIES[key])
        assert list(done.tensors[FAMILIES[key].responsible].shape) == ([1280, 8] if key == "sdisc" else [100, 1280])
    assert any(
        "strength 1.0 on cond; Learning Where It Matters's own code adds it at 2 on both" in n for n in done.notes
    )


def test_more_concepts_than_the_paper_has() -> None:
    done = exported(make(size=1, semantic=False, names=[f"c{n}" for n in range(12)]), FAMILIES["sdisc"])
    assert done.numbers == {f"c{n}": n for n in range(12)}
    assert done.tensors[FC1].shape == (1280, 12)
    assert done.notes == ()


@pytest.mark.parametrize(
    "imported",
    [
        None,
        3,
        {"format": "respodiff", "room": 10**12, "numbers": {"tall": 10**11}},
        {"format": "respodiff", "room": "x", "numbers": [1], "dtype": 7},
        {"format": "respodiff", "numbers": {"tall": "0", "a man": -1}, "dtype": "int8"},
        {"format": "respodiff", "numbers": {"tall": 1, "a man": 1}, "dtype": "float16"},
        {"format": "sdisc", "room": 3, "numbers": {"tall": 2}, "dtype": "float16"},
    ],
)
def test_metadata_that_a_stranger_wrote(imported: Any) -> None:
    attribute = make(imported=imported)
    done = exported(attribute, FAMILIES["respodiff"])
    assert done.tensors[FC1].shape == (81_920, 10)
    assert sorted(done.numbers) == ["a man", "tall"]
    assert len(set(done.numbers.values())) == 2
    for name, number in done.numbers.items():
        assert torch.equal(done.tensors[FC1][:, number], attribute.concept(name).responsible.value().flatten())


EMOJI = Attribute(
    "x", "fairness", {"a": ConceptModule(128, 8, 8)}, Architecture("emoji_world", 64, 128, 0, 128), {}, {}
)
MAPPED = ConceptModule(1280, 8, 8, map_width=2)
MAPPED.responsible.full.data.fill_(1)
WIDE = ConceptModule.from_parts(*[ConceptModule(1280, 8, 4).responsible] * 2)
WIDE.responsible.full.data.fill_(1)


def unequal_parts() -> Attribute:
    parts = (make(size=size).concept("tall").responsible for size in (8, 4))
    return replace(make(), concepts={"a": ConceptModule.from_parts(*parts)})


REFUSED = {
    "other channels": (lambda: EMOJI, "respodiff", "1280 channels in h; 'x' is for Emoji World"),
    "two parts": (make, "sdisc", "no place for a semantic part, but 'a man' has one"),
    "a grid": (lambda: make(semantic=False), "where", "one number per channel; 'kind' has grids 8 x 8"),
    "not square": (lambda: replace(make(), concepts={"a": WIDE}), "respodiff", "of one size; 'kind' has 8 x 4"),
    "two sizes": (
        lambda: replace(make(), concepts={**make().concepts, **make(size=4, names=["b"]).concepts}),
        "respodiff",
        "of one size; 'kind' has 4 x 4, 8 x 8",
    ),
    "unequal parts": (unequal_parts, "respodiff", "both parts at one size, but those of 'a' differ"),
    "a map of h": (
        lambda: replace(make(), concepts={"a": MAPPED}),
        "respodiff",
        "no place for a map of h, but 'a' has",
    ),
    "nothing": (lambda: replace(make(), concepts={"a": ConceptModule(1280, 8, 8)}), "respodiff", "zero everywhere"),
    "too much": (lambda: make(size=41), "respodiff", "expected at most 33"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_layout_cannot_hold(case: str) -> None:
    made, key, message = REFUSED[case]
    with pytest.raises(RespoError, match=message):
        exported(made(), FAMILIES[key])


def test_formats_that_are_not_there() -> None:
    with pytest.raises(RespoError, match="respodiff, sdisc, where, found 'lora'"):
        family_named("lora")


def test_no_half_is_left_where_the_list_appeared_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(FileExistsError):
        exported(make(), FAMILIES["respodiff"]).save(tmp_path / "x.pth", new=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert (tmp_path / "x.json").read_text() == "{}"


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RespoError, match="cannot write"):
        exported(make(), FAMILIES["respodiff"]).save(tmp_path / "file" / "x.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
