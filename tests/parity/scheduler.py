"""diffusers' DDIM scheduler, as SD 1.x has it."""

from __future__ import annotations

from diffusers import DDIMScheduler


def scheduler(steps: int) -> DDIMScheduler:
    """Return it with its timesteps set, spaced from the last one down."""
    made = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )
    made.set_timesteps(steps)
    return made
