"""A node pack for the tests: it samples in tiles side by side, several tiles in one call, as tiling packs do."""

import torch


class Tiles:
    """MODEL -> MODEL whose calls are cut into squares along the width, `together` squares in one call."""

    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "cut", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802  # the host's name
        return {"required": {"model": ("MODEL",), "together": ("INT", {"default": 1})}}

    def cut(self, model, together):
        def call(apply, given):
            x, t, c = given["input"], given["timestep"], given["c"]
            side, rows, done = x.shape[2], len(x), []
            squares = x.split(side, dim=3)
            for first in range(0, len(squares), together):
                some = squares[first : first + together]
                more = {
                    key: torch.cat([value] * len(some)) if torch.is_tensor(value) and len(value) == rows else value
                    for key, value in c.items()
                }
                done += apply(torch.cat(some), t.repeat(len(some)), **more).split(rows)
            return torch.cat(done, dim=3)

        patched = model.clone()
        patched.set_model_unet_function_wrapper(call)
        return (patched,)


NODE_CLASS_MAPPINGS = {"TestTiles": Tiles}
