// Shows the text that a Respo node reports (what is in a module, how a batch was shared out) on the node itself, and why
// the host refused to run it.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
// Newer pages run all files at once, in any order. What these two put on a node stands above its text.
import "./balance_bar.js";
import "./module_text.js";
import { printable } from "./shown.js";

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

// Some pages open a dialog, and only where nothing of the workflow can run. With a row that can, they just leave the other
// out. A node that is no longer refused says again what it reported, as the host may have it cached and not run it.
// `errors`: {id of a node, within subgraphs "5:3": {errors: [...]}}.
function showRefusals(errors, graph, place = "") {
  for (const node of graph.nodes) {
    const id = `${place}${node.id}`;
    const widget = node.widgets?.find((own) => own.name === TEXT);
    const own = errors[id]?.errors;
    if (widget) widget.value = own ? [...new Set(own.map(reasonOf).map(printable))].join("\n") : widget.report;
    if (node.subgraph) showRefusals(errors, node.subgraph, `${id}:`);
  }
}

// The answer itself is asked: newer pages send the event "promptQueued" only if something was queued.
function listen() {
  const show = (answer) => showRefusals(answer?.node_errors ?? {}, app.rootGraph ?? app.graph);
  const { queuePrompt } = api;
  api.queuePrompt = async function () {
    try {
      const answer = await queuePrompt.apply(this, arguments);
      show(answer);
      return answer;
    } catch (error) {
      setTimeout(() => show(error.response)); // after what the page itself does
      throw error;
    }
  };
}

app.registerExtension({
  name: "respo.NodeText",
  setup: listen,
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
