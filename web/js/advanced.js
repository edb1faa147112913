// Opens the advanced inputs of a node whose workflow has one of them changed, so that nothing acts unseen. Where an advanced
// input is linked, the page shows it anyway. Pages that know no advanced inputs show all of them.
import { app } from "../../../scripts/app.js";

app.registerExtension({
  name: "respo.Advanced",
  nodeCreated(node) {
    const { nodeData } = node.constructor;
    if (nodeData?.category !== "Respo") return;
    const inputs = { ...nodeData.input?.required, ...nodeData.input?.optional };
    const isChanged = ({ name, value }) => {
      const options = inputs[name]?.[1];
      return options?.advanced && value !== options.default;
    };
    const { onConfigure } = node;
    node.onConfigure = function () {
      onConfigure?.apply(this, arguments);
      if (this.widgets?.some(isChanged)) this.showAdvanced = true;
    };
  },
});
