// Keeps the switches of Safety by name. Workflows store widget values by position, and which switches there are depends
// on the files on a computer: without this, one module more or less would move every switch to another concept.
import { app } from "../../../scripts/app.js";
import { printable } from "./shown.js";

const NODE = "RespoSafety";
const SAVED = "respo_switches"; // in the node's properties: {name: on or off}
const FILE = /\.safetensors\)$/; // how the name of a switch ends
const MOST_MISSING = 1000; // switches: the page takes a minute for 20,000. One is enough for the node to refuse

const switchesOf = (node) => (node.widgets ?? []).filter((widget) => FILE.test(widget.name));

function restore(node, saved) {
  const missing = new Set(Object.keys(saved).filter((name) => saved[name] && FILE.test(name)));
  for (const widget of switchesOf(node)) {
    widget.value = saved[widget.name] ?? true; // what was not there yet is on, as in a new node
    missing.delete(widget.name);
  }
  // A concept that is on but not here stays in the workflow: the node then says which file it needs.
  const names = [...missing];
  node.respoUnshown = Object.fromEntries(names.slice(MOST_MISSING).map((name) => [name, true]));
  for (const name of names.slice(0, MOST_MISSING)) {
    node.addWidget("toggle", name, true, () => {}, { on: "on", off: "off" }).label = printable(name);
  }
}

app.registerExtension({
  name: "respo.Safety",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== NODE) return;
    const { onSerialize, onConfigure } = nodeType.prototype;
    nodeType.prototype.onSerialize = function (saved) {
      onSerialize?.apply(this, arguments);
      const values = Object.fromEntries(switchesOf(this).map((widget) => [widget.name, widget.value]));
      saved.properties = { ...saved.properties, [SAVED]: { ...this.respoUnshown, ...values } };
    };
    nodeType.prototype.onConfigure = function (saved) {
      onConfigure?.apply(this, arguments);
      if (saved.properties?.[SAVED]) restore(this, saved.properties[SAVED]);
    };
  },
});
