// Shows on Balance, as bars, who shall come out how often while shares are typed, and how often each did after a run.
import { app } from "../../../scripts/app.js";
import { shortened } from "./shown.js";

const NODE = "RespoBalance";
const FIELDS = ["distribution", "distribution_2", "distribution_3"];
const COLOURS = ["#5b9bd5", "#e0a458", "#79b473", "#c06c84", "#8d7bb8", "#4fb0ae"];
const ROW = 22; // pixels
const MARGIN = 10; // around what stands on a node
// "woman 3" and how many of these, as respo_train/core/counting/balance.py reads them; a stranger's workflow may hold any text.
const ENTRY = /^(.*\S)\s+(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})$/;
const MAX_CONCEPTS = 256;

// "woman 3, man 1" -> [["woman", 3], ["man", 1]]; null for what the node would refuse to read.
function parse(text) {
  const entries = text.split(/[,;\n]/).map((entry) => entry.trim()).filter(Boolean);
  if (entries.length > MAX_CONCEPTS) return null;
  const found = entries.map((entry) => ENTRY.exec(entry)).map((match) => match && [match[1], Number(match[2])]);
  return found.includes(null) || !found.some(([, weight]) => weight > 0) ? null : found;
}

// A saved workflow may hold anything in place of a widget's text.
const textOf = (value) => (typeof value === "string" ? value : value == null ? "" : JSON.stringify(value));

function segment(label, share, colour, title) {
  const element = document.createElement("div");
  element.textContent = label;
  element.title = title;
  element.style.cssText = `flex: ${share} 1 0; background: ${colour}; overflow: hidden; text-overflow: ellipsis;
    white-space: nowrap; text-align: center; color: #111; line-height: ${ROW - 4}px`;
  return element;
}

function barOf(parts, unit) {
  const total = parts.reduce((sum, [, weight]) => sum + weight, 0);
  return parts
    .filter(([, weight]) => weight > 0)
    .map(([found, weight], place) => {
      const name = shortened(found);
      const percent = `${Math.round((100 * weight) / total)}%`;
      const label = unit ? `${name} ${weight}` : `${name} ${percent}`;
      return segment(label, weight / total, COLOURS[place % COLOURS.length], `${name}: ${percent}`);
    });
}

function row(segments) {
  const element = document.createElement("div");
  element.style.cssText = `display: flex; gap: 1px; height: ${ROW - 4}px; border-radius: 4px; overflow: hidden`;
  element.append(...segments);
  return element;
}

// One bar for each attribute: what its shares say, else what the last run counted, else that all are equal.
function bars(node, counted) {
  const linked = ["module", "module_2", "module_3"].map((name) =>
    node.inputs?.some((input) => input.name === name && input.link != null),
  );
  let place = 0; // among the linked modules, as the counts are
  return FIELDS.flatMap((name, number) => {
    if (!linked[number] && number > 0) return [];
    const text = textOf(node.widgets.find((widget) => widget.name === name)?.value).trim();
    const counts = linked[number] ? counted[place++] : undefined;
    if (counts) return [row(barOf(counts, true))];
    if (!text) return [row([segment("equal shares", 1, "#888", "As many of each of the module's concepts")])];
    const parts = parse(text);
    const unread = () => [segment(`? ${shortened(text)}`, 1, "#d66", "Write it as in: woman 3, man 1")];
    return [row(parts ? barOf(parts, false) : unread())];
  });
}

app.registerExtension({
  name: "respo.BalanceBar",
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const element = document.createElement("div");
    element.className = "respo-bars";
    element.style.cssText = "display: flex; flex-direction: column; gap: 4px; font: 11px sans-serif";
    const height = () => ROW * Math.max(1, element.children.length) + 2 * MARGIN;
    const widget = node.addDOMWidget("respo_bars", "respo_bars", element, {
      serialize: false,
      margin: MARGIN,
      getMinHeight: height,
      getMaxHeight: height,
    });
    widget.serialize = false; // workflows store widget values by position: this one has none
    let counted = [];
    const draw = () => {
      element.replaceChildren(...bars(node, counted));
      app.graph?.setDirtyCanvas(true); // as many rows, so much height
    };
    const edited = () => {
      counted = []; // they are of the shares before
      draw();
    };
    for (const field of node.widgets.filter((own) => FIELDS.includes(own.name))) {
      const { callback } = field;
      field.callback = function () {
        callback?.apply(this, arguments);
        edited();
      };
    }
    const { onExecuted, onConfigure, onConnectionsChange } = node;
    node.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      counted = output?.respo_counts ?? [];
      draw();
    };
    node.onConfigure = function () {
      onConfigure?.apply(this, arguments);
      draw();
    };
    node.onConnectionsChange = function () {
      onConnectionsChange?.apply(this, arguments);
      edited();
    };
    draw();
  },
});
