"""Fit a module's prompt probe to the encodings of a few hundred sentences. This takes seconds and needs no pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import RespoError
from ..core.module.probe import PromptProbe, likeness
from ..latents.sampling import one_per_row
from ..network import Conditioning, SplitNetwork
from ..settings.config import TrainConfig
from .sentences import probe_prompts, stating_words

_ITERATIONS = 300
_DECAY = 1e-5  # weight decay of the direction; keeps it finite when the sentences are separable


def fit_probe(config: TrainConfig, unet: SplitNetwork) -> PromptProbe | None:
    """Return the probe for `config` and this text encoder, on the CPU; None when the preset has no sentences for one.

    Deterministic. Raises RespoError when the text encoder cannot separate the sentences, or gives them unequal numbers
    of tokens.
    """
    if not config.probe.nobody:
        return None
    prompts, stating = probe_prompts(config), stating_words(config)
    sentences = (prompts.open, prompts.stated, prompts.nobody)
    # All at once: on a small card the text encoder and the network take turns in its memory.
    encoded = iter(unet.encode_prompts([*chain(*sentences), *stating]))
    kinds = [list(islice(encoded, len(kind))) for kind in sentences]
    every = one_per_row([prompt for kind in kinds for prompt in kind]).context.detach().float().cpu()
    mean, scale = every.mean((0, 1)), every.std((0, 1)).clamp_min(1e-6)
    open_tokens, stated_tokens, nobody_tokens = ((every - mean) / scale).split([len(kind) for kind in kinds])
    direction, bias = _somebody(torch.cat([open_tokens, stated_tokens]).mean(1), nobody_tokens.mean(1))
    words = [_word(word, own.tokens, kinds[1], stated_tokens) for word, own in zip(stating, encoded, strict=True)]
    threshold = _threshold(words, stated_tokens, torch.cat([open_tokens, nobody_tokens]))
    return PromptProbe(mean, scale, direction, words, torch.stack([bias, -threshold]))


def _somebody(people: Tensor, nobody: Tensor) -> tuple[Tensor, Tensor]:
    """Separate mean tokens `[N, D]` by logistic regression; both classes have equal weight, whatever their sizes."""
    features = torch.cat([people, nobody])
    scale = features.std().clamp_min(1e-6)  # the mean of many tokens varies less than a single token
    answers = torch.cat([torch.ones(len(people)), torch.zeros(len(nobody))])
    weights = torch.cat([torch.full((len(kind),), 0.5 / len(kind)) for kind in (people, nobody)])
    row, bias = torch.zeros(features.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([row, bias], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        scores = features / scale @ row + bias
        wrong = F.binary_cross_entropy_with_logits(scores, answers, reduction="none")
        value = (weights * wrong).sum() + _DECAY * row.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return row.detach() / scale, bias.detach()


def _word(word: str, own: Sequence[int | None], prompts: Sequence[Conditioning], tokens: Tensor) -> Tensor:
    """Return the mean of each token of a word over the sentences that contain it, `[n, D]`. `own`: its tokens."""
    wanted = [token for token in own if token is not None]
    found = [
        tokens[row, place : place + len(wanted)]
        for row, prompt in enumerate(prompts)
        for place in range(len(prompt.tokens) - len(wanted) + 1)
        if list(prompt.tokens[place : place + len(wanted)]) == wanted
    ]
    if not found or not wanted:
        raise RespoError(f"no sentence of the probe contains the tokens of {word!r}; use another word")
    return torch.stack(found).mean(0)


def _threshold(words: Sequence[Tensor], stated: Tensor, others: Tensor) -> Tensor:
    """Return the midpoint between the lowest likeness of a stated prompt and the highest of another prompt."""
    least, most = (torch.stack([likeness(tokens, word) for word in words]).amax(0) for tokens in (stated, others))
    if least.min() <= most.max():
        raise RespoError(
            f"the text encoder does not tell prompts with the concepts' words (likeness from {least.min():.2f}) from "
            f"others (up to {most.max():.2f}); take words that state the concepts more clearly, or leave [probe] out"
        )
    return (least.min() + most.max()) / 2
