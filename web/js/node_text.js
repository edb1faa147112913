// Shows the text that a Respo node reports (what is in a module, how a batch was shared out) on the node itself.
import { app } from "../../../scripts/app.js";

const NODES = [
  "RespoLoadModule",
  "RespoApplyModule",
  "RespoBalance",
  "RespoTrainModule",
  "RespoCompare",
  "RespoCompose",
  "RespoInterpolate",
  "RespoSaveModule",
  "RespoModuleToText",
  "RespoModuleFromText",
  "RespoGate",
  "RespoRecordRun",
  "RespoBackground",
  "RespoSafety",
  "RespoWhere",
  "RespoLoadJudge",
  "RespoFairnessReport",
  "RespoSafetyReport",
  "RespoImportModule",
];

function addText(node) {
  const element = document.createElement("textarea");
  element.className = "comfy-multiline-input";
  element.readOnly = true;
  element.placeholder = "(after a run)";
  const widget = node.addDOMWidget("respo_text", "respo_text", element, {
    serialize: false,
    getValue: () => element.value,
    setValue: (text) => (element.value = text),
    getMinHeight: () => 72,
  });
  widget.serialize = false; // workflows store widget values by position: this one has none
  return widget;
}

app.registerExtension({
  name: "respo.NodeText",
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
