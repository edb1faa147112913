"""Where latents come from: noise by key, DDIM steps, whole pictures, trajectories."""
