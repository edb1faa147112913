"""The same weights in two stacks that know nothing of each other: ComfyUI with this pack, and diffusers."""
