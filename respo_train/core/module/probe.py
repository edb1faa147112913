"""Classifiers on the text encoder's output that decide whether a prompt leaves an attribute open.

The U-Net's h cannot tell: there a farmer looks much like a dog, and a neutral prompt much like an explicit one. The
text encoder's output can. Whether there is a person is one direction of the mean token, and this generalises to people
that no probe was trained on. Whether the prompt states the attribute is decided on single tokens: a word's own token is
nearly the same in every context, while a direction fitted to all tokens would mistake unknown words for the ones it
looks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import RespoError


class PromptProbe(nn.Module):
    """Classifies encoded prompts of width D. All tensors are float32 buffers.

    `mean`, `scale` `[D]`: standardise the tokens; `somebody` `[D]`: the direction of people; `words`: the standardised
    tokens `[n, D]` of each word that states a concept; `bias` `[2]`: minus the thresholds of both questions. Raises
    RespoError when the shapes do not match, or a scale is not above 0.
    """

    def __init__(self, mean: Tensor, scale: Tensor, somebody: Tensor, words: Sequence[Tensor], bias: Tensor) -> None:
        super().__init__()
        wanted = {"mean": mean, "scale": scale, "somebody": somebody}
        wrong = [name for name, tensor in wanted.items() if tensor.ndim != 1 or tensor.shape != mean.shape]
        wrong += ["words"] if not words or any(w.ndim != 2 or w.shape[1:] != mean.shape for w in words) else []
        if wrong or bias.shape != (2,):
            raise RespoError(
                f"expected a probe's tensors of one width and two biases; {', '.join(wrong) or 'bias'} differs"
            )
        if not (scale > 0).all():
            raise RespoError(f"expected a probe's scales above 0, found {scale.min().item()}")
        for name, tensor in {**wanted, "bias": bias}.items():
            self.register_buffer(name, tensor.detach().clone().float())
        for index, word in enumerate(words):
            self.register_buffer(f"word_{index}", word.detach().clone().float())
        self._words = len(words)

    mean: Tensor
    scale: Tensor
    somebody: Tensor
    bias: Tensor

    @property
    def width(self) -> int:
        """The width D of the encodings that this probe reads."""
        return self.mean.shape[0]

    @property
    def words(self) -> list[Tensor]:
        """The tokens of each word, `[n, D]`."""
        return [self.get_buffer(f"word_{index}") for index in range(self._words)]

    def forward(self, context: Tensor) -> Tensor:
        """Return two scores for each prompt, `[B, 2]`: there is a person, and it is stated who. Above 0 means yes.

        `context`: encoded prompts `[B, tokens, D]`. Repeating an encoding along its tokens, as hosts do to equalise
        lengths, does not change the scores.
        """
        return torch.stack(self.on(context.device).scores(context), dim=1) + self.bias

    def leaves_open(self, context: Tensor) -> Tensor:
        """Return for each prompt whether there is a person and nothing states who: bool `[B]`."""
        return self.on(context.device).leaves_open(context)

    @torch.no_grad()
    def on(self, device: torch.device) -> Reader:
        """Return what reads prompts on `device`, for many calls."""
        longest = max(map(len, self.words))
        # A word's first token again does not change the least of its likenesses.
        words = [F.normalize(torch.cat([word, word[:1].expand(longest - len(word), -1)]), dim=1) for word in self.words]
        tensors = (self.mean, self.scale, self.somebody, torch.stack(words), -self.bias)
        return Reader(*(tensor.to(device) for tensor in tensors))


@dataclass(frozen=True)
class Reader:
    """A probe ready to read on one device. `words`: `[W, n, D]`, tokens of length 1; `thresholds`: `[2]`."""

    mean: Tensor
    scale: Tensor
    somebody: Tensor
    words: Tensor
    thresholds: Tensor

    def scores(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return for each prompt the scores of "there is a person" and of "it is stated who", `[B]` each."""
        tokens = (context.float() - self.mean) / self.scale
        cosines = F.normalize(tokens, dim=2) @ self.words.flatten(0, 1).T
        stated = cosines.amax(1).unflatten(1, self.words.shape[:2]).amin(2).amax(1)  # see `likeness`
        return tokens.mean(1) @ self.somebody, stated

    @torch.no_grad()
    def leaves_open(self, context: Tensor) -> Tensor:
        """See `PromptProbe.leaves_open`."""
        (somebody, stated), (person, word) = self.scores(context), self.thresholds.unbind()
        return (somebody > person) & (stated <= word)


def likeness(tokens: Tensor, word: Tensor) -> Tensor:
    """Return the minimum, over the word's tokens, of their best match among the prompt's tokens: `[B]`, at most 1.

    The match is a cosine. `tokens`: `[B, tokens, D]`; `word`: `[n, D]`.
    """
    cosines = F.normalize(tokens, dim=2) @ F.normalize(word, dim=1).T
    return cosines.amax(1).amin(1)
