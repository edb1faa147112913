from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from respo_train.core.errors import ModuleFileError, RespoError
from respo_train.core.files.checkpoint import file_sha256, load_attribute, read_metadata, save_attribute
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.probe import PromptProbe

ARCHITECTURE = Architecture("unet-2-8", 2, 8, 0, 6)


def make() -> Attribute:
    concepts = {"woman": ConceptModule(6, 4, 5), "a man": ConceptModule(6, 4, 5, "low_rank", 2)}
    concepts["any"] = ConceptModule(6, 4, 5, "channel", map_width=3)
    generator = torch.Generator().manual_seed(0)
    for module in concepts.values():
        for parameter in module.parameters():
            parameter.data.normal_(generator=generator)
    base = {"name": "model.safetensors", "sha256": "0" * 64, "fingerprint": [0.5, -1.25]}
    return Attribute("gender", "fairness", concepts, ARCHITECTURE, base, {"seed": 1, "prompts": ["ein Mädchen"]})


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "gender.safetensors"
    save_attribute(path, make())
    return path


def parts(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file."""
    with safetensors.safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata())  # noqa: SIM118


def rewrite(path: Path, tensors: dict[str, Tensor] | None = None, **metadata: str | None) -> None:
    old_tensors, old_metadata = parts(path)
    merged = {key: value for key, value in {**old_metadata, **metadata}.items() if value is not None}
    safetensors.torch.save_file(old_tensors if tensors is None else tensors, path, merged)


def rewrite_respo(path: Path, **changes: object) -> None:
    respo = {**json.loads(parts(path)[1]["respo"]), **changes}
    rewrite(path, respo=json.dumps(respo))


def test_words_travel_along(good: Path, tmp_path: Path) -> None:
    words = {"woman": ["female", "her"], "person": ["somebody"]}
    save_attribute(tmp_path / "spoken.safetensors", replace(make(), words=words))
    assert load_attribute(tmp_path / "spoken.safetensors").words == words
    assert load_attribute(good).words == {}
    for wrong in ("her", [1], {"woman": "her"}, {"woman": [1]}, {"a.b": ["c"]}, {"woman": [" "]}):
        rewrite_respo(good, words=wrong)
        with pytest.raises(ModuleFileError, match="words"):
            load_attribute(good)


def probe(width: int = ARCHITECTURE.context_dim, words: int = 2) -> PromptProbe:
    generator = torch.Generator().manual_seed(3)
    mean, scale, somebody = torch.randn(3, width, generator=generator)
    tokens = [torch.randn(1 + index, width, generator=generator) for index in range(words)]
    return PromptProbe(mean, scale.abs(), somebody, tokens, torch.randn(2, generator=generator))


@pytest.fixture
def probed(tmp_path: Path) -> Path:
    path = tmp_path / "probed.safetensors"
    save_attribute(path, replace(make(), probe=probe(words=12)))  # more than ten: "word_10" sorts before "word_2"
    return path


def test_a_probe_travels_along(good: Path, probed: Path, tmp_path: Path) -> None:
    found = load_attribute(probed).probe
    assert found is not None
    before, after = (dict(own.named_buffers()) for own in (probe(words=12), found))
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert [len(word) for word in found.words] == list(range(1, 13))
    again = tmp_path / "again.safetensors"
    save_attribute(again, load_attribute(probed))
    assert again.read_bytes() == probed.read_bytes()
    assert load_attribute(good).probe is None
    old, new = parts(good)[0], parts(probed)[0]
    assert {key: value.shape for key, value in new.items() if key in old} == {k: v.shape for k, v in old.items()}
    assert new["probe:somebody"].shape == (8,)
    assert new["probe:word_1"].shape == (2, 8)


@pytest.mark.parametrize("key", ["mean", "scale", "somebody", "bias", "word_0", "word_5"])
def test_a_probe_with_a_missing_tensor(probed: Path, key: str) -> None:
    tensors, _ = parts(probed)
    del tensors[f"probe:{key}"]
    rewrite(probed, tensors)
    with pytest.raises(ModuleFileError, match="probe"):
        load_attribute(probed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probe:mean": torch.full((8,), torch.nan)}, "'probe:mean' holds NaN"),
        ({"probe:word_3": torch.full((4, 8), torch.inf)}, "'probe:word_3' holds NaN or infinite"),
        ({"probe:word_3": torch.zeros(0, 8)}, "'probe:word_3' is empty"),
        ({"probe:bias": torch.zeros(2, dtype=torch.int32)}, "expected floating-point tensors"),
        ({"probe:bias": torch.zeros(3)}, "bias differs"),
        ({"probe:scale": torch.zeros(8)}, "scales above 0"),
        ({"probe:colour": torch.zeros(8)}, "that a probe does not have: colour"),
        ({"probe:word_12x": torch.zeros(1, 8)}, "that a probe does not have: word_12x"),
        ({"probe": torch.zeros(8)}, "belong to no concept: probe"),
    ],
)
def test_defects_of_a_probe(probed: Path, changes: dict[str, Tensor], message: str) -> None:
    rewrite(probed, {**parts(probed)[0], **changes})
    with pytest.raises(ModuleFileError, match=message):
        load_attribute(probed)


def test_a_probe_of_another_width(good: Path, probed: Path) -> None:
    with pytest.raises(RespoError, match=r"expected a probe for encodings of width 8 .*, found 7"):
        replace(make(), probe=probe(7))
    narrow = {f"probe:{key}": value for key, value in probe(7).named_buffers()}
    rewrite(good, {**parts(good)[0], **narrow})
    with pytest.raises(ModuleFileError, match="encodings of width 8"):
        load_attribute(good)


def test_a_wide_probe_does_not_count_as_a_grid(probed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small factors stand for many numbers by the channels of h, however wide the text encoder is."""
    monkeypatch.setattr("respo_train.core.files.checkpoint._MAX_NUMBERS", 6 * 2 * (4 * 5 + 2 * 4 * 5 + 1 * 1))
    assert load_attribute(probed).probe is not None


def test_a_concept_called_probe(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    attribute = make()
    concepts = {"probe": attribute.concepts["woman"], "mean": attribute.concepts["any"]}
    for own in (None, probe()):
        save_attribute(path, replace(attribute, concepts=concepts, probe=own))
        assert list(load_attribute(path).concepts) == ["probe", "mean"]
        assert (load_attribute(path).probe is None) == (own is None)
    with pytest.raises(RespoError, match="concept's name"):
        replace(attribute, concepts={"probe:mean": attribute.concepts["woman"]})


def test_round_trip_is_exact(good: Path) -> None:
    before, after = make(), load_attribute(good)
    assert (after.name, after.purpose, after.architecture) == (before.name, before.purpose, before.architecture)
    assert (after.base, after.training) == (before.base, before.training)
    assert list(after.concepts) == list(before.concepts)
    for name, module in before.concepts.items():
        assert after.concepts[name].state_dict().keys() == module.state_dict().keys()
        for key, value in module.state_dict().items():
            assert torch.equal(after.concepts[name].state_dict()[key], value)
    assert read_metadata(good)["concepts"] == ["woman", "a man", "any"]


def test_same_attribute_same_bytes(good: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    for _ in range(5):  # safetensors orders metadata at random
        save_attribute(again, load_attribute(good))
        assert file_sha256(again) == file_sha256(good)


def test_plain_safetensors_reads_it(good: Path) -> None:
    tensors, metadata = parts(good)
    assert tensors["woman.responsible"].shape == (6, 4, 5)
    assert tensors["a man.semantic.channels"].shape == (6, 2)
    assert tensors["a man.semantic.space"].shape == (2, 4, 5)
    assert tensors["any.responsible"].shape == (6, 1, 1)
    assert (metadata["format"], metadata["format_version"]) == ("respo", "1")


def test_semantic_part_may_be_missing_and_halves_are_read(good: Path) -> None:
    tensors, _ = parts(good)
    del tensors["woman.semantic"]
    tensors["woman.responsible"] = tensors["woman.responsible"].bfloat16()
    rewrite(good, tensors)
    woman = load_attribute(good).concept("woman")
    assert woman.semantic.value().abs().max() == 0
    assert woman.responsible.value().dtype == torch.float32


def test_a_part_that_is_made_counts(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of responsible parts alone is half of what is read."""
    tensors, _ = parts(good)
    rewrite(good, {key: tensor for key, tensor in tensors.items() if "semantic" not in key})
    monkeypatch.setattr("respo_train.core.files.checkpoint._MAX_NUMBERS", 2 * 6 * (4 * 5 + 4 * 5 + 1))
    load_attribute(good)
    monkeypatch.setattr("respo_train.core.files.checkpoint._MAX_NUMBERS", 2 * 6 * (4 * 5 + 4 * 5 + 1) - 1)
    with pytest.raises(ModuleFileError, match="numbers in all"):
        load_attribute(good)


def test_nothing_half_written(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = good.read_bytes()

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    other = make()
    other.concept("woman").responsible.full.data.zero_()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RespoError, match="No space left"):
        save_attribute(good, other)
    assert good.read_bytes() == before
    assert os.listdir(good.parent) == [good.name]


def test_saving_refuses_nan_and_missing_folders(tmp_path: Path) -> None:
    attribute = make()
    with pytest.raises(RespoError, match="cannot write"):
        save_attribute(tmp_path / "no" / "x.safetensors", attribute)
    attribute.concept("woman").responsible.full.data[0, 0, 0] = float("nan")
    with pytest.raises(RespoError, match="NaN"):
        save_attribute(tmp_path / "x.safetensors", attribute)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "not a Respo module"),
        ({"format": "lora"}, "not a Respo module"),
        ({"format_version": None}, "expected format_version 1"),
        ({"format_version": "2"}, "needs a newer Respo"),
        ({"format_version": "one"}, "expected format_version 1, found 'one'"),
        ({"format_version": "9" * 5000}, "expected format_version 1"),
        ({"format_version": "²"}, "expected format_version 1"),
        ({"respo": None}, "entry 'respo', found none"),
        ({"respo": "{"}, "not valid JSON"),
        ({"respo": "[]"}, "expected metadata with"),
        ({"respo": '{"name": "gender"}'}, "expected metadata with"),
        ({"respo": "[" * 100_000}, "not valid JSON"),
        ({"respo": '{"name": 1, "name": 2}'}, "same key twice"),
        ({"respo": '{"name": NaN}'}, "not a number"),
        ({"respo": '{"name": 1e999}'}, "not valid JSON"),
        ({"respo": '{"name": "\\ud800"}'}, "not valid JSON"),
    ],
)
def test_metadata_defects(good: Path, changes: dict[str, str | None], message: str) -> None:
    rewrite(good, None, **changes)
    for read in (read_metadata, load_attribute):
        with pytest.raises(ModuleFileError, match=message):
            read(good)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 3}, "attribute's name"),
        ({"purpose": "beauty"}, "purpose"),
        ({"concepts": "woman"}, "'concepts' as a list"),
        ({"concepts": ["woman", "woman"]}, "list of different names"),
        ({"concepts": [["woman"]]}, "'concepts' as a list"),
        ({"concepts": ["woman", "a man"]}, "belong to no concept: any"),
        ({"concepts": ["woman", "a man", "any", "other"]}, "'other' has no responsible part"),
        ({"architecture": {"family": "sd1"}}, "architecture with the entries"),
        ({"architecture": {**ARCHITECTURE.to_dict(), "middle_channels": 7}}, "expected 7 channels"),
        ({"base": []}, "'base' as an object"),
        ({"training": None}, "'training' as an object"),
        ({"extra": 1}, "expected metadata with"),
    ],
)
def test_description_defects(good: Path, changes: dict[str, object], message: str) -> None:
    rewrite_respo(good, **changes)
    with pytest.raises(ModuleFileError, match=message):
        load_attribute(good)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("woman.responsible", None, "no responsible part"),
        ("woman.responsible", torch.full((6, 4, 5), float("nan")), "NaN"),
        ("woman.responsible", torch.full((6, 4, 5), float("inf")), "infinite"),
        ("woman.responsible", torch.zeros(6, 4, 5, dtype=torch.int32), "floating-point"),
        ("woman.responsible", torch.zeros(6, 0, 5), "empty"),
        ("woman.responsible", torch.zeros(6, 4), "expected one tensor"),
        ("woman.responsible", torch.zeros(5, 4, 5), "5 channels like the responsible one, found 6"),
        ("woman.semantic", torch.zeros(5, 4, 5), "6 channels"),
        ("a man.responsible.space", None, "factors"),
        ("a man.responsible.channels", torch.zeros(6, 3), "factors"),
        ("any.map.bias", None, "expected inward, bias, outward of 'any.map', found inward, outward alone"),
        ("any.map.inward", torch.zeros(3, 5), r"\[K, C\], \[K\] and \[C, K\]"),
        ("any.map.inward", torch.full((3, 6), float("nan")), "NaN"),
        ("woman.map.bias", torch.zeros(3), "found bias alone"),
        ("woman.surprise", torch.zeros(1), "belong to no concept: woman.surprise"),
    ],
)
def test_tensor_defects(good: Path, key: str, value: Tensor | None, message: str) -> None:
    tensors, _ = parts(good)
    tensors.pop(key, None)
    if value is not None:
        tensors[key] = value
    rewrite(good, tensors)
    with pytest.raises(ModuleFileError, match=message):
        load_attribute(good)


def test_one_factor_is_no_grid(good: Path) -> None:
    """Of the shape that a whole part has, it could be taken for one."""
    tensors, _ = parts(good)
    tensors["any.semantic.channels"] = tensors.pop("any.semantic")
    rewrite(good, tensors)
    with pytest.raises(ModuleFileError, match=r"both factors of 'any\.semantic'"):
        load_attribute(good)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(ModuleFileError, match="cannot read"):
        load_attribute(path)
    with pytest.raises(ModuleFileError, match="cannot read"):
        load_attribute(tmp_path)
    for content, message in [
        (b"", "found 0 bytes"),
        (b"PK\x03\x04" + b"0" * 100, "truncated or no module file"),
        ((2**40).to_bytes(8, "little") + b"{}", "truncated"),
        ((2).to_bytes(8, "little") + b"\xff\xfe", "found other bytes"),
        ((2).to_bytes(8, "little") + b"[]", "found a list"),
        ((2).to_bytes(8, "little") + b"{}", "not a Respo module"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ModuleFileError, match=message):
            load_attribute(path)


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    attribute = make()
    many = replace(attribute, concepts={f"c{i}": ConceptModule(6, 1, 1) for i in range(257)})
    with pytest.raises(RespoError, match="at most 256 concepts and 128 MiB, but 'gender' has 257"):
        save_attribute(path, many)
    monkeypatch.setattr("respo_train.core.files.checkpoint._MAX_CONCEPTS", 257)
    save_attribute(path, many)
    assert len(load_attribute(path).concepts) == 257
    monkeypatch.setattr("respo_train.core.files.checkpoint._MAX_CONCEPTS", 256)
    with pytest.raises(ModuleFileError, match="at most 256 concepts in a module, found 257"):
        load_attribute(path)
    monkeypatch.setattr("respo_train.core.files.checkpoint._MAX_BYTES", 1000)
    with pytest.raises(RespoError, match="Split them"):
        save_attribute(path, attribute)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.safetensors")
    for path in (tmp_path / "x.safetensors", Path(os.devnull)):
        with pytest.raises(ModuleFileError, match="a pipe or a device"):
            load_attribute(path)


def test_size_is_bounded_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with open(path, "wb") as file:
        file.write((2**27).to_bytes(8, "little"))
        file.truncate(2**27 + 100)  # sparse: takes no room
    with pytest.raises(ModuleFileError, match="at most 128 MiB"):
        load_attribute(path)
    with open(path, "r+b") as file:
        file.truncate(2**25)
        file.write((2**24).to_bytes(8, "little"))
    with pytest.raises(ModuleFileError, match="header of at most 1048576 bytes"):
        load_attribute(path)


@pytest.mark.parametrize("read", [load_attribute, read_metadata])
def test_bytes_behind_the_numbers_are_refused_before_they_are_read(read: Callable[[Path], object], good: Path) -> None:
    size = good.stat().st_size
    stored = size - 8 - int.from_bytes(good.read_bytes()[:8], "little")
    os.truncate(good, size + 1)
    with pytest.raises(ModuleFileError, match=f"expected {stored} bytes of numbers .*, found {stored + 1}"):
        read(good)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_mutated_files_are_read_or_refused(good: Path, chance: random.Random) -> None:
    data = bytearray(good.read_bytes())
    header = 8 + int.from_bytes(data[:8], "little")
    for _ in range(chance.randint(1, 8)):
        where = chance.randrange(header if chance.random() < 0.7 else len(data))
        data[where] = chance.randrange(256)
    if chance.random() < 0.3:
        del data[chance.randrange(len(data)) :]
    mutated = good.with_name("mutated.safetensors")
    mutated.write_bytes(data)
    try:
        attribute = load_attribute(mutated)
    except ModuleFileError:
        return
    assert all(torch.isfinite(p).all() for module in attribute.concepts.values() for p in module.parameters())


@pytest.mark.parametrize("fingerprint", [["a"], "abc", [float("nan")], [[1.0]], 7, {"a": 1.0}])
def test_a_fingerprint_that_is_no_list_of_numbers_is_refused(fingerprint: object) -> None:
    with pytest.raises(RespoError, match="fingerprint"):
        replace(make(), base={"name": "x", "fingerprint": fingerprint})
