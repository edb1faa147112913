"""Where without a record: now and then a step is predicted without modules as well, in the same run.

In between, the last difference between both predictions of the noise stands in for those that were not computed. The
host's samplers ask for predictions of the picture, whose difference is sigma times that of the noise. A step is one
prediction here: some samplers (heun, dpm_2) make several on the way from one sigma to the next. No state outlives a
run: its own options hold it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.pictures.region import changed
from ..calls.conds import with_more

_RUN = "respo_alongside"  # in transformer_options: the run's _Comparison
_FEWEST = 3  # comparisons in a run: over longer stretches of it the last one no longer fits
_PLAIN = "respo_plain"  # in transformer_options: True in calls that no module may change


class _Comparison:
    """What one run knows of the pictures without modules. `every`: steps from one comparison to the next."""

    def __init__(self, every: int, threshold: float) -> None:
        self._every, self._threshold = every, threshold
        self._calls = 0
        self._rest: Tensor | None = None  # [B, C, H, W]: divided by sigma, what to add for the rest to stay

    def is_due(self, x: Tensor) -> bool:
        """Whether the step that begins now is one of those that are also predicted without modules."""
        self._calls += 1
        return self._rest is None or self._rest.shape != x.shape or (self._calls - 1) % self._every == 0

    def keep(self, denoised: Tensor, plain: Tensor | None, sigmas: Tensor) -> Tensor:
        """Return `denoised` with the rest kept as it is without modules.

        `plain`: the prediction without modules; None in a step that is not due.
        """
        each = sigmas.to(denoised).view(-1, *[1] * (denoised.ndim - 1))
        if plain is not None:
            # [B, C, H, W]; a picture as a video of one frame has a dimension more.
            before, after = plain.flatten(1, -3), denoised.flatten(1, -3)
            hardly = 1 - changed(after, before, self._threshold).to(after)
            some = each.clamp_min(torch.finfo(each.dtype).eps)  # at sigma 0 both are equal: no 0 / 0
            self._rest = ((before - after) * hardly).view_as(denoised) / some
        assert self._rest is not None  # the first step of a run is due
        return denoised + self._rest * each


def begin(every: int, threshold: float) -> Callable[..., Tensor]:
    """Build a wrapper of the host's sampler (WrappersMP.SAMPLER_SAMPLE): a run starts with no comparison made.

    `every`: steps from one comparison to the next; fewer where a run would have less than _FEWEST comparisons.
    """

    def start(executor: Any, guider: Any, sigmas: Tensor, extra: Any, *rest: Any) -> Tensor:
        own = min(every, max(1, math.ceil((len(sigmas) - 1) / _FEWEST)))
        options = with_more(extra["model_options"], {_RUN: _Comparison(own, threshold)})
        samples: Tensor = executor(guider, sigmas, {**extra, "model_options": options}, *rest)
        return samples

    return start


def keep_alongside(executor: Any, x: Tensor, timestep: Tensor, model_options: Any = None, seed: Any = None) -> Tensor:
    """Wrap the host's prediction of a step (WrappersMP.PREDICT_NOISE); acts after guidance.

    What is predicted without modules comes first: samplers that read the last prediction's parts read those of the
    picture that they go on with. Raises RespoError where something calls the model past the host's sampler.
    """
    options = (model_options or {}).get("transformer_options", {})
    comparison = options.get(_RUN)
    if comparison is None:
        raise RespoError(
            "Where cannot tell which step this is: something here calls the model past the host's sampler. Set "
            "compare_every to 0, and use a mask or words instead."
        )
    plain = None
    if comparison.is_due(x):
        plain = executor(x, timestep, with_more(model_options, {_PLAIN: True, **_uncached(options)}), seed)
    denoised: Tensor = executor(x, timestep, model_options, seed)
    return comparison.keep(denoised, plain, timestep)


def _uncached(transformer_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what lets the host's EasyCache and LazyCache compute a prediction and remember nothing of it.

    Both predictions of a step are of the same latents, and these nodes would give the first one for the second.
    """
    cache = transformer_options.get("easycache")
    if cache is None:
        return {}
    own = cache.clone()
    own.end_t = math.inf  # sigma: every step is past the end of its range
    return {"easycache": own}


def is_plain(transformer_options: Any) -> bool:
    """Whether a call is to run without modules."""
    return bool((transformer_options or {}).get(_PLAIN))
