"""ComfyUI as a training backend: the only folder of `respo_train` that imports `comfy`."""
