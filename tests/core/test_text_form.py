from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import struct
import zlib
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from respo_train.core.errors import ModuleFileError, RespoError
from respo_train.core.files.checkpoint import from_bytes, to_bytes
from respo_train.core.files.shrink import FORMS, kept, shrunk
from respo_train.core.files.text_form import MAX_CHARACTERS, from_text, to_text
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.grid import KINDS
from respo_train.core.module.probe import PromptProbe


def make(kind: str = "grid", size: tuple[int, int] = (4, 5), channels: int = 6, scale: float = 1.0) -> Attribute:
    generator = torch.Generator().manual_seed(0)
    concepts = {n: ConceptModule(channels, *size, kind, 3 if kind == "low_rank" else None) for n in ("woman", "man")}
    for module in concepts.values():
        for parameter in module.parameters():
            parameter.data.normal_(0, scale, generator=generator)
    base = {"name": "model.safetensors", "sha256": "0" * 64, "fingerprint": [0.123456789, -1.25]}
    architecture = Architecture("unet-2-8", 2, 8, 0, channels)
    return Attribute("gender", "fairness", concepts, architecture, base, {"objective": "respodiff"})


def with_probe(width: int = 8) -> Attribute:
    generator = torch.Generator().manual_seed(4)
    mean, scale = torch.randn(width, generator=generator), 0.1 + torch.rand(width, generator=generator)
    words = [torch.randn(n, width, generator=generator) for n in (1, 2)]
    somebody = torch.randn(width, generator=generator)
    return replace(make(), probe=PromptProbe(mean, scale, somebody, words, torch.tensor([0.1, -0.8])))


def packed(data: bytes, digest: str | None = None) -> str:
    """A text around any bytes."""
    return f"respo1:{digest or hashlib.sha256(data).hexdigest()}:{base64.b64encode(zlib.compress(data, 9)).decode()}"


GOOD = to_text(make())


def test_a_refusal_names_the_limit_that_was_passed() -> None:
    """Equal numbers make a short text of a large module, as where a module is added to itself again and again."""
    large = make(size=(128, 128), channels=24, scale=0.0)
    with pytest.raises(RespoError, match=r"256 kB as text and 1024 kB unpacked, but 'gender' has \d and \d{4} kB"):
        to_text(large)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_read_are_the_numbers_written_in_half_precision(kind: str) -> None:
    before = make(kind)
    text = to_text(before)
    after = from_text(text)
    assert text.isascii()
    assert text.startswith("respo1:")
    assert (after.name, after.purpose, list(after.concepts)) == ("gender", "fairness", ["woman", "man"])
    for name, module in before.concepts.items():
        for key, value in module.state_dict().items():
            assert torch.equal(after.concept(name).state_dict()[key], value.half().float())
    assert to_text(after) == text
    assert from_text("\n ".join(text[i : i + 70] for i in range(0, len(text), 70))).base == after.base
    assert after.probe is None


def mapped(channels: int, width: int) -> Attribute:
    own = ConceptModule(channels, 4, 5, "channel", map_width=width)
    for parameter in own.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(channels))
    return replace(make(channels=channels), concepts={"medium": own})


def test_a_map_of_h_comes_along_in_half_precision() -> None:
    before = mapped(6, 3)
    written = before.concept("medium").state_dict()
    read = from_text(to_text(before)).concept("medium").state_dict()
    assert {key for key in read if key.startswith("map.")} == {"map.inward", "map.bias", "map.outward"}
    assert all(torch.equal(read[key], value.half().float()) for key, value in written.items())


def test_whose_map_is_too_large_for_a_text_is_told_of_files() -> None:
    with pytest.raises(RespoError, match=r"its maps of h keep their size.*pass it on as a file"):
        to_text(mapped(1280, 64))


def test_the_probe_comes_along_in_half_precision() -> None:
    text = to_text(with_probe())
    after = from_text(text)
    before, read = with_probe().probe, after.probe
    assert before is not None
    assert read is not None
    written = dict(before.named_buffers())
    assert dict(read.named_buffers()).keys() == written.keys()
    assert all(torch.equal(read.get_buffer(key), value.half().float()) for key, value in written.items())
    assert to_text(after) == text
    prompts = torch.randn(200, 5, 8, generator=torch.Generator().manual_seed(1))
    sure = (before(prompts).abs() > 0.02).all(1)
    answers = before.leaves_open(prompts)[sure]
    assert 20 < answers.sum() < len(answers) - 20
    assert torch.equal(read.leaves_open(prompts)[sure], answers)


@pytest.mark.parametrize("form", FORMS)
def test_a_smaller_form_keeps_the_probe(form: str) -> None:
    attribute = with_probe()
    assert shrunk(attribute, form, 1).probe is attribute.probe


def test_only_what_an_attribute_needs_goes_along() -> None:
    told = {"objective": "respodiff", "licence": "MIT", "recipe": ["x"], "prompts": ["/secret"], "code": "print()"}
    base = {
        "name": "C:\\models\\sd/mine/model.safetensors",
        "sha256": "1" * 64,
        "path": "/secret",
        "fingerprint": [0.1],
    }
    attribute = replace(make(), training=told, base=base, words={"woman": ["her"]})
    read = from_text(to_text(attribute))
    assert read.training == {"objective": "respodiff", "licence": "MIT"}
    assert read.base == {"name": "model.safetensors", "sha256": "1" * 64, "fingerprint": [0.1]}
    assert read.words == {"woman": ["her"]}
    strangers = from_text(packed(to_bytes(replace(attribute, training={**told, "objective": "x" * 5000}))))
    assert strangers.training == {"objective": "x" * 200, "licence": "MIT"}
    assert strangers.base == read.base


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found none"),
        (" \n", "found none"),
        ("hello", "expected a module's text"),
        ("respo2:" + GOOD[7:], "needs a newer Respo"),
        (GOOD[:-9], "cut off"),
        (GOOD[:-8], "cut off"),
        (GOOD[:60], "Copy all"),
        (GOOD + "AAAA", "cut off"),
        (GOOD.replace("respo1:", "respo1:" + "0" * 64 + ":"), "expected a module's text"),
        ("respo1:" + "0" * 64 + GOOD[71:], "SHA-256"),
        (packed(b"PK\x03\x04" + b"0" * 100), "truncated or no module file"),
        (packed(to_bytes(make())[:-4]), "a shape and a place in the file"),
        ("x" * (MAX_CHARACTERS + 1), "expected a module's text"),
        ("respo1:" + "0" * 64 + ":" + "A" * (MAX_CHARACTERS + 4), "expected a module's text"),
        (" " * 10_000_000, "at most 256 kB"),
    ],
)
def test_defects_are_told(text: str, words: str) -> None:
    with pytest.raises(ModuleFileError, match=words) as caught:
        from_text(text)
    assert len(str(caught.value)) < 500


def test_bombs_are_refused_before_they_burst() -> None:
    for size in (2**20 + 1, 2**27):
        with pytest.raises(ModuleFileError, match="more than the 1024 kB"):
            from_text(packed(bytes(size), "0" * 64))


def test_factors_of_a_monstrous_grid_are_refused() -> None:
    shapes = {"woman.responsible.channels": (6, 1), "woman.responsible.space": (1, 1, 2**17 + 1)}
    assert from_text(packed(with_tensors(shapes))).concept("woman").channels == 6
    shapes = {"woman.responsible.channels": (2**16, 1), "woman.responsible.space": (1, 1, 2**12)}
    with pytest.raises(ModuleFileError, match="at most 33554432 numbers"):
        from_text(packed(with_tensors(shapes)))


def with_tensors(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """A file with one concept, whose tensors are zeros of these shapes."""
    whole = to_bytes(make())
    metadata = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])["__metadata__"]
    respo = {**json.loads(metadata["respo"]), "concepts": ["woman"]}
    header: dict[str, object] = {"__metadata__": {**metadata, "respo": json.dumps(respo)}}
    end = 0
    for key, shape in shapes.items():
        begin, end = end, end + 2 * torch.Size(shape).numel()
        header[key] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def test_too_large_a_module_is_refused_with_advice() -> None:
    with pytest.raises(RespoError, match="'low rank'"):
        to_text(make(size=(64, 64), channels=64))
    zeros = make(size=(64, 64), channels=64, scale=0.0)  # it would fit, but nobody could read it
    with pytest.raises(RespoError, match="'low rank'"):
        to_text(zeros)
    assert len(to_text(shrunk(make(size=(64, 64), channels=64), "low rank", 2))) < MAX_CHARACTERS
    with pytest.raises(RespoError, match="beyond 7e"):
        to_text(make(scale=1e6))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_small_forms(kind: str, form: str) -> None:
    whole = make(kind)
    small = shrunk(whole, form, 2)
    for name, module in whole.concepts.items():
        own = small.concept(name)
        value, found = module.semantic.value(), own.semantic.value()
        if form == "as it is" or kind == "channel":
            assert torch.equal(found.expand_as(value), value)
        elif form == "channel":
            assert torch.allclose(found, value.mean((1, 2), keepdim=True))
        else:
            assert own.semantic.kind == "low_rank"
            sizes = torch.linalg.svdvals(value.detach().reshape(6, -1))
            assert torch.linalg.matrix_rank(found.detach().reshape(6, -1)) == 2
            assert torch.allclose((value - found).square().sum(), sizes[2:].square().sum(), rtol=1e-3)
        share = kept(module, own)
        lost = sum(
            (a.value() - b.value()).square().sum() for a, b in zip(module.children(), own.children(), strict=True)
        )
        total = sum(part.value().square().sum() for part in module.children())
        assert share == pytest.approx(1 - (lost / total).item(), abs=1e-4)


def test_as_small_as_it_was() -> None:
    low = make("low_rank")
    assert shrunk(low, "low rank", 3).concept("man").semantic is low.concept("man").semantic
    grid = make()
    assert shrunk(grid, "low rank", 64).concept("man").semantic is grid.concept("man").semantic  # factors were larger
    zero = make(scale=0.0)
    assert kept(zero.concept("man"), shrunk(zero, "channel").concept("man")) == 1.0
    for form, rank in (("tiny", 1), ("low rank", 0), ("low rank", -3)):
        with pytest.raises(RespoError, match="expected"):
            shrunk(grid, form, rank)


def read_or_refused(text: str) -> None:
    try:
        attribute = from_text(text)
    except ModuleFileError:
        return
    assert all(p.isfinite().all() for module in attribute.concepts.values() for p in module.parameters())
    assert set(attribute.training) <= {"objective", "recipe", "licence"}
    assert set(attribute.base) <= {"name", "sha256", "fingerprint"}


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_damaged_texts_are_refused(chance: random.Random) -> None:
    text = list(GOOD)
    for _ in range(chance.randint(1, 4)):
        text[chance.randrange(len(text))] = chance.choice(string.printable)
    if chance.random() < 0.3:
        del text[chance.randrange(len(text)) :]
    damaged = "".join(text)
    if "".join(damaged.split()) == GOOD:
        return
    with pytest.raises(ModuleFileError):
        from_text(damaged)


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_forged_texts_are_read_or_refused(chance: random.Random) -> None:
    """A stranger can make a right hash around anything."""
    data = bytearray(to_bytes(make("low_rank"), torch.float16))
    header = 8 + int.from_bytes(data[:8], "little")
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(header if chance.random() < 0.7 else len(data))] = chance.randrange(256)
    read_or_refused(packed(bytes(data)))


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    read_or_refused(text)
    read_or_refused("respo1:" + text)
    read_or_refused(f"respo1:{'0' * 64}:{text}")


def test_an_imported_modules_text_says_how_it_acts() -> None:
    imported = {"format": "where", "file": "C:/secret/x.pth", "away": {"woman": "a" * 500, "x" * 99: "b"}}
    told = {"objective": "where", "half": "both", "imported": imported}
    read = from_text(to_text(replace(make(), training=told))).training
    assert read == {"objective": "where", "half": "both", "imported": {"away": {"woman": "a" * 200}}}
    assert from_text(to_text(replace(make(), training={"imported": "x"}))).training == {}


def test_bytes_and_file_share_their_checks() -> None:
    data = to_bytes(make())
    assert to_bytes(from_bytes(data, "x")) == data
    with pytest.raises(ModuleFileError, match=r"^here: "):
        from_bytes(data[:50], "here")
