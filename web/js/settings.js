// Respo's settings. The host stores them in the user's comfy.settings.json, where nodes/shared/folders.py reads them at start.
import { app } from "../../../scripts/app.js";

app.registerExtension({
  name: "respo.Settings",
  settings: [
    {
      id: "Respo.EmojiWorld.ShowCheckpoint",
      name: "Show Emoji World in Load Checkpoint",
      category: ["Respo", "Emoji World", "ShowCheckpoint"],
      tooltip: "The small model that the example workflows run on. Takes effect when ComfyUI is restarted.",
      type: "boolean",
      defaultValue: true,
    },
  ],
});
