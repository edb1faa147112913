"""Does a prompt leave an attribute open? Two probes read it from the tokens of the prompt's encoding.

The U-Net's h cannot tell: there a farmer looks much like a dog, and a neutral prompt much like an explicit one. The
text encoder can. Whether somebody is there is one direction of the mean token, and holds for people that no probe was
trained on. Whether the prompt states the attribute is asked of single tokens: a word's own token is nearly the same
wherever it stands, while a direction fitted to all tokens takes unknown words for the ones it looks for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import RespoError


class PromptProbe(nn.Module):
    """Reads encodings of width D.

    `mean`, `scale` `[D]`: of the tokens, by which they are standardised; `somebody` `[D]`: the direction of people;
    `words`: the standardised tokens of each word that states a concept, `[n, D]`; `bias` `[2]`: minus the thresholds of
    both questions. All float32. Raises RespoError when the shapes do not go together, or a scale is not above 0.
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
        """Return how surely somebody is there, and how surely it is said who: `[B, 2]`; above 0 is yes.

        `context`: `[B, tokens, D]`. The same for an encoding that is repeated along its tokens, as hosts do to make
        lengths equal.
        """
        tokens = (context.float() - self.mean) / self.scale
        stated = torch.stack([likeness(tokens, word) for word in self.words]).amax(0)
        return torch.stack([tokens.mean(1) @ self.somebody, stated], dim=1) + self.bias

    @torch.no_grad()
    def leaves_open(self, context: Tensor) -> Tensor:
        """Return for each prompt whether somebody is there and nothing says who, `[B]`, bool."""
        somebody, stated = self(context).unbind(1)
        return (somebody > 0) & (stated <= 0)


def likeness(tokens: Tensor, word: Tensor) -> Tensor:
    """Return how much a prompt has of all of a word's tokens, `[B]`, at most 1: the cosine of the one it has least of.

    `tokens`: `[B, tokens, D]`; `word`: `[n, D]`.
    """
    cosines = F.normalize(tokens, dim=2) @ F.normalize(word, dim=1).T
    return cosines.amax(1).amin(1)
