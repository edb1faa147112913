// Shows the text that a Respo node reports (what is in a module, how a batch was shared out) on the node itself, and why
// the host refused to run it.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const TEXT = "respo_text";
const WITHOUT_TEXT = ["RespoSaveImages"]; // it shows the pictures that it saved

function addText(node) {
  const element = document.createElement("textarea");
  element.className = "comfy-multiline-input";
  element.readOnly = true;
  element.placeholder = "(after a run)";
  const widget = node.addDOMWidget(TEXT, TEXT, element, {
    serialize: false,
    getValue: () => element.value,
    setValue: (text) => (element.value = text),
    getMinHeight: () => 72,
  });
  widget.serialize = false; // workflows store widget values by position: this one has none
  widget.report = ""; // of its last run
  return widget;
}

// "module - The module 'x' is not here" -> "The module 'x' is not here"; the host writes the input's name before it.
const reasonOf = ({ message, details, extra_info }) =>
  details?.startsWith(`${extra_info?.input_name} - `)
    ? details.slice(extra_info.input_name.length + 3)
    : `${message}: ${details}`;

// The host opens a dialog only where nothing of the workflow can run. With a row that can, it just leaves the other out.
// A node that is no longer refused says again what it reported, as the host may have it cached and not run it.
function showRefusals() {
  for (const node of app.graph.nodes) {
    const widget = node.widgets?.find((own) => own.name === TEXT);
    const errors = app.lastNodeErrors?.[node.id]?.errors;
    if (widget) widget.value = errors ? [...new Set(errors.map(reasonOf))].join("\n") : widget.report;
  }
}

app.registerExtension({
  name: "respo.NodeText",
  setup() {
    api.addEventListener("promptQueued", showRefusals);
  },
  nodeCreated(node) {
    const { nodeData } = node.constructor;
    if (nodeData?.category !== "Respo" || WITHOUT_TEXT.includes(nodeData.name)) return;
    const widget = addText(node);
    const onExecuted = node.onExecuted;
    node.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      if (output?.text) widget.value = widget.report = output.text.join("\n");
    };
  },
});
