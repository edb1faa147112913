"""The source of training latents: keyed noise, DDIM steps, whole pictures, trajectories."""
