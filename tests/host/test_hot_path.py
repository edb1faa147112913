"""Nothing is copied between devices, and nothing waits for one, while a run goes on: `meta` stands for the card.

A tensor on `meta` has no numbers, so that whatever needs one fails here, as it would wait on a GPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, reduce
from typing import Any

import pytest
import torch
import transformer_kinds as transformers
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformer_kinds import KINDS

from benchmarks.overhead.kernels import PROMPT, Tokens

CARD = torch.device("meta")
PICTURES, SIZE, CFG, SEED, STEPS = 4, (16, 16), 3.0, 5, 3
FAMILIES = ("Flux", "Lumina 2")  # of transformers: blocks of two streams, and of one
WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::is_nonzero"}


class Copies(TorchDispatchMode):
    """Lists operations that have numbers both on the card and off it, and those that read one."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
        # A single number off the card is an argument of its kernel.
        places = {x.device.type for x in tensors if x.dim() or x.device == CARD}
        if func._schema.name.startswith("aten::empty"):
            return result  # room for numbers, of the shape of some that are elsewhere
        if len(places) > 1 or (CARD.type in places and func._schema.name in WAITS):
            self.found[func._schema.name] += 1
        return result


class Lists(TorchFunctionMode):
    """Lists what makes a tensor of Python's numbers on the card: torch.tensor, and x[list]."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == CARD:
            self.found["torch.tensor"] += 1
        if func in (Tensor.__getitem__, Tensor.__setitem__) and args[0].device == CARD:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            own = [
                part for part in index if isinstance(part, list) or (isinstance(part, Tensor) and part.device != CARD)
            ]
            if own:
                self.found["x[list]"] += 1
        return func(*args, **kwargs)


class Over(BaseException):
    """The steps are over, as by Cancel: what comes behind them may wait."""


@pytest.fixture(scope="module")
def cards(make_model) -> Callable[[str], Any]:
    """cards("" or a family of transformers) -> a network on the card."""
    return cache(lambda name: (transformers.make(KINDS[name]) if name else make_model()).model.to(CARD))


@pytest.fixture
def prompts(prompt) -> Callable[[str], tuple[list, list]]:
    """prompts("" or a family of transformers) -> what is sampled with, positive and negative."""
    pooled = {"pooled_output": torch.ones(1, 8)}
    return lambda name: tuple(prompt(seed, **(pooled if name and KINDS[name].pooled else {})) for seed in (1, 2))


@pytest.fixture
def attention_on_card(host, monkeypatch) -> None:
    """The host's attention asks for free memory, and some kinds of it need numbers."""
    import comfy.model_management
    import comfy.samplers
    from comfy.ldm.modules import attention

    for name in ("optimized_attention", "optimized_attention_masked"):
        monkeypatch.setattr(attention, name, attention.attention_pytorch)
    free = comfy.model_management.get_free_memory

    def on_card(device: Any = None, torch_free_too: bool = False) -> Any:
        own = (2**40, 2**40) if torch_free_too else 2**40
        return own if device == CARD else free(device, torch_free_too)

    monkeypatch.setattr(comfy.samplers, "get_free_memory", on_card, raising=False)
    monkeypatch.setattr(comfy.model_management, "get_free_memory", on_card)


@pytest.fixture
def offences(host, cards, prompts, attention_on_card) -> Callable[..., Counter[str]]:
    """offences(MODEL) -> what is copied or waited for in the second step of a run, and later.

    The host's own wrappers, guider and network; only its sampler is replaced, as a sampler's noise has numbers.
    """
    import comfy.model_patcher
    import comfy.patcher_extension as extension
    import comfy.sample
    import comfy.sampler_helpers
    import comfy.samplers

    def run(model: Any, name: str = "") -> Counter[str]:
        card, (positive, negative) = cards(name), prompts(name)
        latent = latent_of(name)
        noise = comfy.sample.prepare_noise(latent, SEED)
        sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", STEPS)
        guider = comfy.samplers.CFGGuider(model.clone())
        guider.set_conds(positive, negative)
        guider.set_cfg(CFG)
        guider.conds = {name: [one.copy() for one in own] for name, own in guider.original_conds.items()}
        guider.model_options = comfy.model_patcher.create_model_options_clone(guider.model_options)
        comfy.sampler_helpers.prepare_model_patcher(guider.model_patcher, guider.conds, guider.model_options)
        guider.inner_model, guider.model_patcher.load_device = card, CARD
        card.current_patcher = guider.model_patcher
        guider.conds = comfy.samplers.process_conds(card, noise.to(CARD), guider.conds, CARD, None, None, SEED)
        watch = Copies()

        def steps(guider: Any, sigmas: Tensor, extra: dict, *_: Any) -> None:
            for number in range(STEPS):
                x, now = latent.to(CARD), torch.zeros(PICTURES, device=CARD)
                watched = (watch, Lists(watch.found)) if number else ()
                with ExitStack() as watching:
                    for one in watched:
                        watching.enter_context(one)
                    guider(x, now, extra["model_options"], SEED)
            raise Over

        kind = extension.WrappersMP.SAMPLER_SAMPLE
        wrappers = extension.get_all_wrappers(kind, guider.model_options, is_model_options=True)
        extra = {"model_options": guider.model_options, "seed": SEED}
        executor = extension.WrapperExecutor.new_class_executor(steps, comfy.samplers.ksampler("euler"), wrappers)
        # In inference mode a watch does not see what compound operations do.
        with torch.no_grad(), pytest.raises(Over):
            executor.execute(guider, sigmas, extra, None, noise, torch.zeros_like(noise), None, True)
        return watch.found

    return run


def latent_of(name: str) -> Tensor:
    """Return an empty latent of PICTURES pictures."""
    return torch.zeros(PICTURES, *(KINDS[name].channels if name else (4,)), *SIZE)


@pytest.fixture
def record_of(run_node, prompts) -> Callable[..., Any]:
    """record_of(MODEL, "" or a family) -> the record of the run that `offences` makes."""

    def record(model: Any, name: str = "") -> Any:
        positive, negative = prompts(name)
        given = {"positive": positive, "negative": negative, "latent_image": {"samples": latent_of(name)}}
        given |= {"seed": SEED, "steps": STEPS, "cfg": CFG, "sampler_name": "euler", "scheduler": "normal"}
        return run_node("RespoRecordRun", model=model, denoise=1.0, **given)[1]

    return record


@pytest.fixture(scope="module")
def mapped(module, pack) -> Any:
    """The module with maps of h, and a probe that finds every prompt open."""
    concepts = {}
    for name, own in module.attribute.concepts.items():
        h_map = pack.core.module.h_map.HMap(own.channels, 3)
        concepts[name] = pack.core.module.concept.ConceptModule.from_parts(own.responsible, own.semantic, h_map)
    width = module.attribute.architecture.context_dim
    words = [torch.eye(width)[:1], torch.eye(width)[1:3]]
    ends = torch.zeros(width), torch.ones(width), torch.ones(width)
    probe = pack.core.module.probe.PromptProbe(*ends, words, torch.tensor([1e6, -2.0]))
    return replace(module, attribute=replace(module.attribute, concepts=concepts, probe=probe), sha256="5" * 64)


@pytest.fixture
def nodes(run_node, module, mapped, pack, model, record_of) -> dict[str, Callable[[Any], Any]]:
    """What each combination is made of, by name: MODEL -> MODEL."""
    mask = torch.zeros(1, *SIZE)
    mask[:, 4:] = 1
    several = torch.stack([mask[0], mask[0].T, 1 - mask[0], mask[0] / 2])
    words = {"words": "doctor", "clip": Tokens(), "prompt": PROMPT}
    composed = run_node("RespoCompose", module_a=module, module_b=module, concept_b="man", weight_b=-0.5)[0]
    probed = replace(module, attribute=replace(module.attribute, probe=mapped.attribute.probe), sha256="6" * 64)
    is_open = run_node("RespoGate", module=module, prompt="a photo of a doctor")[0]

    def add(node: str, **given: Any) -> Callable[[Any], Any]:
        return lambda model: run_node(node, model=model, **given)[0]

    return {
        "Balance": add("RespoBalance", module=probed, enabled=is_open),
        "Balance, maps of h, a range": add("RespoBalance", module=mapped, start_percent=0.1, end_percent=0.9),
        "Balance, the sampler's seed": add("RespoBalance", module=module, seed_from="the sampler"),
        "Balance, labels": add("RespoBalance", module=module, labels="woman;man;-;woman"),
        "Apply Module": add("RespoApplyModule", module=module, guidance="both"),
        "Apply Module, a mask": add("RespoApplyModule", module=mapped, mask=several),
        "Compose": add("RespoApplyModule", module=composed, end_percent=0.5),
        "Where by a mask": add("RespoWhere", mask=mask),
        "Where by masks": add("RespoWhere", mask=several),
        "Where by words": add("RespoWhere", **words),
        "Background": add("RespoBackground"),
        "Background, a range": add("RespoBackground", levels=2, start_percent=0.2, guidance="conditional"),
        "Background, a record": lambda model_: run_node("RespoBackground", model=model_, record=record_of(model))[0],
        "Where alongside": add("RespoWhere", words="", compare_every=1),
        "Where by a record": lambda model_: run_node("RespoWhere", model=model_, record=record_of(model), words="")[0],
        "Record Run": lambda model_: recorded(pack, model_),
    }


def recorded(pack: Any, model: Any) -> Any:
    """Return the MODEL that Record Run samples with."""
    return pack.root.nodes.steering.patching.recording(model, pack.root.nodes.recording.tape.Tape())


NAMES = [
    "Balance",
    "Balance, maps of h, a range",
    "Balance, the sampler's seed",
    "Balance, labels",
    "Apply Module",
    "Apply Module, a mask",
    "Compose",
    "Where by a mask",
    "Where by masks",
    "Where by words",
    "Background",
    "Background, a range",
    "Background, a record",
    "Where alongside",
    "Where by a record",
    "Record Run",
]


def test_the_watch_sees_what_it_is_for():
    """Each of the kinds of faults that this test is for."""
    on_card = torch.zeros(4, 3, device=CARD)
    faults = {
        "a copy to the card": lambda: torch.zeros(3).to(CARD),
        "a list as an index": lambda: on_card[[0, 1]],
        "a list as an index of columns": lambda: on_card[:, [0, 1]],
        "numbers from Python": lambda: torch.tensor([0.1, 0.9], device=CARD),
        "an index off the card": lambda: on_card[torch.tensor([0, 1])],
    }
    for name, fault in faults.items():
        with Copies() as watch, Lists(watch.found):
            fault()
        assert watch.found.total() > 0, name
    for wait in (Tensor.item, bool, float, Tensor.nonzero, Tensor.tolist):
        with pytest.raises((RuntimeError, NotImplementedError)), Copies():  # there is no number to wait for
            wait(on_card[0, 0] if wait is not Tensor.nonzero else on_card)
    with Copies() as watch, Lists(watch.found):
        torch.where(on_card > 0.5, on_card * 2, 0.0)[1:].sum(0)
    assert not watch.found


CHAINS = [
    ("Balance", "Where by words", "Background"),
    ("Balance, maps of h, a range", "Apply Module", "Where by a mask", "Background, a range"),
    ("Balance, the sampler's seed", "Compose", "Where by masks", "Where by words"),
    ("Balance, labels", "Apply Module, a mask", "Where by a mask", "Where by masks"),
    ("Balance", "Where by a record", "Background, a record"),
    ("Balance", "Where alongside", "Where by words", "Background, a record"),
    tuple(name for name in NAMES if name != "Where alongside"),  # one or the other keeps the rest
]


@pytest.mark.parametrize("chosen", [*((name,) for name in NAMES), *CHAINS], ids=" + ".join)
def test_no_copies_and_no_waits(chosen, nodes, offences, model):
    """No more than the host's own: its one copy of the prompts is made by the pack in its place."""
    assert set(NAMES) == set(nodes)
    patched = model
    for name in chosen:
        patched = nodes[name](patched)
    found, plain = offences(patched), offences(model)
    calls = 2 if "Where alongside" in chosen else 1  # of the network in a step
    assert found.total() <= calls * plain.total(), (found, plain)


@pytest.mark.parametrize("name", FAMILIES)
def test_transformers(name, run_node, module_for, offences, record_of, pack):
    """Each node that steers one, alone and all in a row. A network's own copies, such as of positions, do not count."""
    model = transformers.make(KINDS[name])
    module, record, mask = module_for(model, 3), record_of(model, name), torch.ones(1, *SIZE)
    mask[:, 4:] = 0
    steps: list[Callable[[Any], Any]] = [
        lambda before: run_node("RespoBalance", model=before, module=module)[0],
        lambda before: run_node("RespoApplyModule", model=before, module=module, mask=mask)[0],
        lambda before: run_node("RespoWhere", model=before, record=record, words="", mask=mask)[0],
        lambda before: run_node("RespoBackground", model=before, record=record)[0],
        lambda before: recorded(pack, before),
    ]
    plain = offences(model, name)
    for chain in ([], *([one] for one in steps), steps):
        found = offences(reduce(lambda before, step: step(before), chain, model), name)
        assert found.total() <= plain.total(), (len(chain), found, plain)
