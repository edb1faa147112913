// A button on Module To Text that puts the packed module into a new Module From Text, so that nobody has to copy it.
import { app } from "../../../scripts/app.js";

const PACKER = "RespoModuleToText";
const READER = "RespoModuleFromText";
const GAP = 40; // pixels between the two nodes

function addReader(packer, text) {
  const reader = LiteGraph.createNode(READER);
  reader.pos = [packer.pos[0] + packer.size[0] + GAP, packer.pos[1]];
  (packer.graph ?? app.graph).add(reader);
  reader.widgets.find((widget) => widget.name === "text").value = text;
}

app.registerExtension({
  name: "respo.ModuleText",
  nodeCreated(node) {
    if (node.comfyClass !== PACKER) return;
    let text = "";
    const button = node.addWidget("button", "put_into_workflow", null, () => text && addReader(node, text), {
      serialize: false,
    });
    button.serialize = false; // workflows store widget values by position: this one has none
    button.disabled = true;
    button.label = "Put it into the workflow (after a run)";
    const onExecuted = node.onExecuted;
    node.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      text = output?.respo_module?.join("") ?? "";
      button.disabled = !text;
      if (text) button.label = "Put it into the workflow";
    };
  },
});
