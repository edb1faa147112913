"""Released files become attributes. The files are of the released shapes; see tests/foreign_files.py."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import foreign_files
import pytest
import torch
from foreign_files import FC1, FC2

from respo_train.core.errors import ModuleFileError, RespoError, UnknownConcept
from respo_train.core.files.checkpoint import load_attribute, save_attribute
from respo_train.core.foreign.families import BASES, FAMILIES
from respo_train.core.foreign.names import about, parse_concepts
from respo_train.core.foreign.read import read_file
from respo_train.core.foreign.untrained import is_normal_start, is_uniform_start, spread_of_untouched
from respo_train.core.module.attribute import direction_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "unet.pth"


def test_respodiff(path: Path) -> None:
    tensors = foreign_files.respodiff(path, trained=(0, 1))
    found = read_file(path, only=["a man", "a woman"])
    attribute = found.attribute
    assert list(attribute.concepts) == ["a man", "a woman"]
    for name, column in (("a woman", 0), ("a man", 1)):
        module = attribute.concept(name)
        assert torch.equal(module.responsible.value(), tensors[FC1][:, column].reshape(1280, 8, 8))
        assert torch.equal(module.semantic.value(), tensors[FC2][:, column].reshape(1280, 8, 8))
    assert (attribute.purpose, attribute.architecture) == ("fairness", BASES["sd15"].architecture)
    assert attribute.base == {"name": "Stable Diffusion 1.4"}
    training = attribute.training
    told = {key: training[key] for key in ("objective", "half", "strength", "grid")}
    assert told == {"objective": "respodiff", "half": "cond", "strength": 1.0, "grid": [8, 8]}
    assert training["imported"] == {
        "format": "respodiff",
        "of": "RespoDiff",
        "file": "unet.pth",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "dtype": "float32",
        "keys": [FC1, FC2],
        "room": 10,
        "numbers": {"a man": 1, "a woman": 0},
    }
    assert found.warnings == ()


def test_sdisc(path: Path) -> None:
    tensors = foreign_files.sdisc(path)
    found = read_file(path)
    assert list(found.attribute.concepts) == list(FAMILIES["sdisc"].concepts)[:7]
    for number, module in enumerate(found.attribute.concepts.values()):
        assert torch.equal(module.responsible.value().flatten(), tensors[FC1][:, number])
        assert module.semantic.value().shape == (1280, 8, 8)
        assert not module.semantic.value().any()
    assert (found.attribute.training["half"], found.attribute.training["strength"]) == ("cond", 1.0)
    assert any("antisexual: safety needs a module of its own" in line for line in found.warnings)
    assert any("several attributes (gender, age, race)" in line for line in found.warnings)
    safe = read_file(path, only=["antisexual"])
    assert (safe.attribute.purpose, list(safe.attribute.concepts), safe.warnings) == ("safety", ["antisexual"], ())


@pytest.mark.parametrize(("rows", "size"), [(1280, 1), (1280 * 16, 4), (1280 * 32 * 32, 32)])
def test_other_sizes_and_a_list_of_concepts(path: Path, rows: int, size: int) -> None:
    foreign_files.sdisc(path, trained=(0, 1), columns=3, rows=rows)
    concepts = {"kind": 1, "stern": 0}
    attribute = read_file(path, concepts, base="sdxl").attribute
    assert list(attribute.concepts) == ["kind", "stern"]
    kind = "channel" if size == 1 else "grid"
    for part in (attribute.concept("kind").responsible, attribute.concept("kind").semantic):
        assert (part.kind, part.value().shape) == (kind, (1280, size, size))
    assert attribute.architecture.family == "sdxl"
    assert attribute.training["grid"] == [size, size]
    with pytest.raises(RespoError, match=r"room for 3 concepts, but .* have 8"):
        read_file(path)
    with pytest.raises(RespoError, match=r"'stern' at 3, but .* room for 3"):
        read_file(path, {"kind": 1, "stern": 3})


def test_where(path: Path) -> None:
    tensors = foreign_files.where(path)
    found = read_file(path)
    assert list(found.attribute.concepts) == ["female", "male"]
    assert torch.equal(found.attribute.concept("male").responsible.value().flatten(), tensors["concept_emb"][1])
    assert found.attribute.concept("male").responsible.kind == "channel"
    assert (found.attribute.training["half"], found.attribute.training["strength"]) == ("both", 2.0)
    assert found.attribute.architecture.family == "sdxl"
    assert sum("untrained" in line for line in found.warnings) == 7
    with pytest.raises(ModuleFileError, match=r"'smile' .*untrained.*Trained in this file: female, male"):
        read_file(path, only=["smile"])


@pytest.mark.parametrize("decay", [1.0, 0.37, 0.0])
def test_rows_that_nobody_trained(path: Path, decay: float) -> None:
    foreign_files.where(path, trained=(2,), decay=decay)
    found = read_file(path, only=None)
    assert list(found.attribute.concepts) == ["young"]
    assert len(found.warnings) == 8


@pytest.mark.parametrize("decay", [1.0, 0.37])
def test_small_fresh_rows(path: Path, decay: float) -> None:
    """Learning Where It Matters' training starts from N(0, 0.02), in a matrix whose rows all have names."""
    rows = 0.02 * decay * torch.randn(9, 1280, generator=torch.Generator().manual_seed(0))
    names = [*FAMILIES["where"].concepts]
    torch.save({"concept_emb": rows}, path)
    with pytest.raises(ModuleFileError, match=r"'female' looks untrained.*'jump' looks untrained"):
        read_file(path, parse_concepts(json.dumps(names)))
    rows[1] += 0.05 * torch.randn(1280, generator=torch.Generator().manual_seed(1))
    torch.save({"concept_emb": rows}, path)
    assert list(read_file(path, parse_concepts(json.dumps(names))).attribute.concepts) == ["male"]


@pytest.mark.parametrize("prefix", ["module.", "concept_module.", "module.concept_module."])
def test_keys_of_a_wrapped_network(path: Path, prefix: str) -> None:
    tensors = foreign_files.respodiff(path, trained=(0, 1))
    plain = read_file(path).attribute
    torch.save({prefix + key: tensor for key, tensor in tensors.items()}, path)
    wrapped = read_file(path).attribute
    assert torch.equal(wrapped.concept("a man").responsible.value(), plain.concept("a man").responsible.value())
    assert wrapped.training["imported"]["keys"] == [FC1, FC2]
    torch.save({prefix + FC1: tensors[FC1], FC2: tensors[FC2]}, path)
    with pytest.raises(ModuleFileError, match="Is it another project's file"):
        read_file(path)


def test_concepts_that_steer_away_say_so(path: Path) -> None:
    foreign_files.respodiff(path, trained=(0, 6, 7))
    training = read_file(path, only=["violence", "sexual"]).attribute.training
    assert direction_of("violence", training) == "away from violence"
    assert direction_of("a woman", read_file(path, only=["a woman"]).attribute.training) == "towards a woman"
    foreign_files.sdisc(path)
    assert direction_of("antisexual", read_file(path, only=["antisexual"]).attribute.training) == "away from sexual"
    for odd in ({}, {"imported": 3}, {"imported": {"away": ["x"]}}, {"imported": {"away": {"x": {}}}}):
        assert direction_of("x", odd).split()[-1] in ("x", "{}")


def test_zero_parts_take_no_room(path: Path) -> None:
    foreign_files.sdisc(path, trained=(0, 1))
    attribute = read_file(path).attribute
    save_attribute(path.with_suffix(".safetensors"), attribute)
    numbers = sum(module.responsible.value().numel() for module in attribute.concepts.values())
    assert path.with_suffix(".safetensors").stat().st_size < 4 * numbers + 4000
    again = load_attribute(path.with_suffix(".safetensors")).concept("female")
    assert again.semantic.value().shape == (1280, 8, 8)
    assert not again.semantic.value().any()


def test_untrained_columns_are_left_out_or_refused(path: Path) -> None:
    foreign_files.respodiff(path, trained=(1, 5))
    found = read_file(path)
    assert list(found.attribute.concepts) == ["a man", "a Asian-race person"]
    left = [line for line in found.warnings if line.startswith("left out")]
    assert len(left) == 7
    assert all("untrained" in line for line in left)
    with pytest.raises(ModuleFileError, match=r"'a woman' .*untrained.*Trained in this file: a man, a Asian-race"):
        read_file(path, only=["a man", "a woman"])
    foreign_files.respodiff(path, trained=())
    with pytest.raises(ModuleFileError, match="at least one trained concept, found none"):
        read_file(path)


@pytest.mark.parametrize(
    ("trained", "semantic", "found"),
    [
        ((0,), (), r"responsible part \(controlnet.fc1.weight\) trained, the semantic .* untrained"),
        ((), (0,), r"responsible part \(controlnet.fc1.weight\) untrained, the semantic .* trained"),
    ],
)
def test_half_trained(path: Path, trained: Any, semantic: Any, found: str) -> None:
    foreign_files.respodiff(path, trained, semantic)
    for only in (["a woman"], None):
        with pytest.raises(ModuleFileError, match=f"half-trained: the {found}"):
            read_file(path, only=only)


def test_a_zero_part(path: Path) -> None:
    tensors = foreign_files.respodiff(path, trained=(0, 1))
    tensors[FC2][:, 0] = 0  # nothing to hold on to: what an export of one part has there
    tensors[FC1][:, 1] = 0
    torch.save(tensors, path)
    assert not read_file(path, only=["a woman"]).attribute.concept("a woman").semantic.value().any()
    with pytest.raises(ModuleFileError, match=r"half-trained: the responsible part .* zero"):
        read_file(path, only=["a man"])


def test_two_concepts_with_one_number(path: Path) -> None:
    foreign_files.respodiff(path, trained=(3,))
    old, white = "old", "a white-race person"
    with pytest.raises(RespoError, match="'old' and 'a white-race person' are both number 3"):
        read_file(path, only=[old, white])
    for name, other in ((old, white), (white, old)):
        found = read_file(path, only=[name])
        assert list(found.attribute.concepts) == [name]
        assert len(found.warnings) == 1
        assert repr(other) in found.warnings[0]
        assert repr(name) in found.warnings[0]
    found = read_file(path)
    assert list(found.attribute.concepts) == [old]
    assert any(f"'{old}' and '{white}' are both number 3" in line for line in found.warnings)


def test_safety_and_fairness_are_not_mixed(path: Path) -> None:
    foreign_files.sdisc(path)
    with pytest.raises(RespoError, match="antisexual is about safety, female is not"):
        read_file(path, only=["female", "antisexual"])


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("a woman", "gender"),
        ("a manager", "a manager"),
        ("anti-sexual", "safety"),
        ("violence", "safety"),
        ("nudity", "safety"),
        ("whatever", "whatever"),
        ("whiterace", "race"),
        ("Old", "age"),
        ("golden", "golden"),
    ],
)
def test_what_a_concept_is_about(name: str, topic: str) -> None:
    assert about(name) == topic


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_it_is(path: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {key: tensor.to(dtype) for key, tensor in foreign_files.respodiff(path).items()}
    torch.save(tensors, path)
    found = read_file(path)
    assert list(found.attribute.concepts) == ["a woman"]  # the rounded others still look untrained
    value = found.attribute.concept("a woman").responsible.value()
    assert value.dtype == torch.float32
    assert torch.equal(value.flatten(), tensors[FC1][:, 0].float())


def test_it_is_a_module_file_like_any_other(path: Path, tmp_path: Path) -> None:
    foreign_files.respodiff(path)
    found = read_file(path, name="gender").attribute
    save_attribute(tmp_path / "gender.safetensors", found)
    again = load_attribute(tmp_path / "gender.safetensors")
    assert (again.name, again.training) == ("gender", found.training)
    before, after = (own.concept("a woman").state_dict() for own in (found, again))
    assert all(torch.equal(before[key], after[key]) for key in before)


def change(tensors: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**tensors, **changes}


WRONG = {
    "another tensor": (lambda t: {**t, "bias": torch.ones(2)}, "found .*'bias'"),
    "another key": (lambda t: {"weight": t[FC1]}, "found 'weight'"),
    "semantic alone": (lambda t: {FC2: t[FC2]}, "found 'controlnet_residual.fc2.weight'"),
    "rows": (lambda t: {FC1: torch.ones(81_921, 8)}, r"\[1280 \* S \* S, concepts\].*found \[81921, 8\]"),
    "not square": (lambda t: {FC1: torch.ones(1280 * 2, 8)}, r"found \[2560, 8\]"),
    "one dimension": (lambda t: {FC1: torch.ones(1280)}, r"found \[1280\]"),
    "nothing": (lambda t: {FC1: torch.ones(0, 8)}, r"found \[0, 8\]"),
    "too few channels": (lambda t: {"concept_emb": torch.ones(100, 640)}, r"found \[100, 640\]"),
    "doubles": (lambda t: {FC1: t[FC1].double()}, "float64"),
    "whole numbers": (lambda t: {FC1: torch.ones(81_920, 8, dtype=torch.int64)}, "int64"),
    "two shapes": (lambda t: {FC1: t[FC1], FC2: t[FC2][:, :9].contiguous()}, "one shape and kind"),
    "two kinds": (lambda t: {FC1: t[FC1], FC2: t[FC2].half()}, "one shape and kind"),
    "nan": (lambda t: {FC1: t[FC1].index_fill(1, torch.tensor([4]), torch.nan), FC2: t[FC2]}, "NaN .*concept 4"),
    "infinite": (lambda t: {FC1: t[FC1], FC2: t[FC2].index_fill(1, torch.tensor([0, 9]), torch.inf)}, "concept 0, 9"),
    "a number": (lambda t: {**t, "step": 3}, r"'step' \(int\)"),
    "nested too deep": (lambda t: {"state_dict": {"state_dict": t}}, r"'state_dict' \(dict\)"),
    "a tensor": (lambda t: t[FC1], "tensor without a name in the place of named tensors"),
    "empty": (lambda t: {}, "found nothing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_other_contents_are_told(path: Path, case: str) -> None:
    spoil, message = WRONG[case]
    torch.save(spoil(foreign_files.respodiff(path)), path)
    with pytest.raises(ModuleFileError, match=message):
        read_file(path)


def test_below_state_dict(path: Path) -> None:
    torch.save({"state_dict": foreign_files.respodiff(path)}, path)
    assert list(read_file(path).attribute.concepts) == ["a woman"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"a": 0, "a": 1}', "twice"),
        ('["a", "a"]', "twice"),
        ('["a", 1]', "as JSON"),
        ("[]", "as JSON"),
        ("{}", "as JSON"),
        ("3", "as JSON"),
        ('{"a": -1}', "whole number"),
        ('{"a": true}', "whole number"),
        ('{"a": 1.5}', "whole number"),
        ('{"a": "1"}', "whole number"),
        ('{"a": NaN}', "NaN"),
        ('{"a.b": 0}', "concept's name"),
        ('{"../x": 0}', "concept's name"),
        ("[" * 50_000, "not valid JSON"),
        ("[" + '"a",' * 50_000 + '"a"]', "at most 100,000"),
    ],
)
def test_lists_of_concepts_that_are_none(text: str, message: str) -> None:
    with pytest.raises(RespoError, match=message):
        parse_concepts(text)


def test_lists_of_concepts() -> None:
    assert parse_concepts('{"a woman": 0, "old": 3, "tall": 3}') == {"a woman": 0, "old": 3, "tall": 3}
    assert parse_concepts('["x", "y"]') == {"x": 0, "y": 1}


def test_names_that_are_not_there(path: Path) -> None:
    foreign_files.respodiff(path)
    with pytest.raises(UnknownConcept, match="no concept 'robot' in the list; it has a woman, a man"):
        read_file(path, only=["robot"])
    with pytest.raises(RespoError, match="base sd15 or sdxl"):
        read_file(path, base="sd3")
    with pytest.raises(ModuleFileError, match="cannot read"):
        read_file(path.with_name("nothing.pth"))


def test_starts() -> None:
    generator = torch.Generator().manual_seed(5)
    for length, columns in ((81_920, 10), (1280, 8)):
        fresh = (torch.rand(400 if length == 1280 else 20, length, generator=generator) * 2 - 1) * columns**-0.5
        assert all(is_uniform_start(column, columns) for column in fresh)
        # One step of Adam moves every number by the learning rate, 1e-4 at least.
        step = 1e-4 if length > 1280 else 1e-2
        moved = fresh + step * torch.randn(fresh.shape, generator=generator).sign()
        assert not any(is_uniform_start(column, columns) for column in moved)
        assert not is_uniform_start(fresh[0] / 2, columns)
        assert not is_uniform_start(fresh[0].abs(), columns)
    rows = torch.randn(300, 1280, generator=generator)
    assert all(is_normal_start(row, 1.0) for row in rows)
    assert spread_of_untouched(0.37 * rows) == pytest.approx(0.37, rel=0.02)
    assert spread_of_untouched(0.37 * rows[:3]) == spread_of_untouched(3 * rows) == spread_of_untouched(0 * rows) == 1.0
    for other in (rows[0] * 1.2, rows[0] + 0.3, rows[0] * 0.8, torch.cat([rows[0][1:], torch.tensor([9.0])])):
        assert not is_normal_start(other, 1.0)
