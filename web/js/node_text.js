// Shows the text that a Respo node reports (what is in a module, how a batch was shared out) on the node itself.
import { app } from "../../../scripts/app.js";
import { ComfyWidgets } from "../../../scripts/widgets.js";

const NODES = ["RespoLoadModule", "RespoApplyModule", "RespoBalance"];

function addText(node) {
  const { widget } = ComfyWidgets.STRING(node, "respo_text", ["STRING", { multiline: true }], app);
  widget.serialize = false; // workflows store widget values by position: this one has none
  widget.options.serialize = false;
  widget.element.readOnly = true;
  widget.element.placeholder = "(after a run)";
  return widget;
}

app.registerExtension({
  name: "Respo.NodeText",
  nodeCreated(node) {
    if (!NODES.includes(node.comfyClass)) return;
    const widget = addText(node);
    const onExecuted = node.onExecuted;
    node.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      if (output?.text) widget.value = output.text.join("\n");
    };
  },
});
