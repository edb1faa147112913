"""Respo: fairness and safety modules for Stable Diffusion, as ComfyUI nodes. Registration only."""

from comfy_api.latest import ComfyExtension, io

from .nodes import NODES
from .nodes.shared import folders, judges
from .nodes.shared.inputs import checked
from .respo_train.host import emoji_world_model

WEB_DIRECTORY = "./web"

folders.register()
judges.register()
emoji_world_model.register()


class RespoExtension(ComfyExtension):
    """Tells the host which nodes there are."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return every node of the pack, each on its guard against what a workflow may hold."""
        return [checked(node) for node in NODES]


async def comfy_entrypoint() -> RespoExtension:
    """Return the extension; the host calls this once the pack is imported."""
    return RespoExtension()
