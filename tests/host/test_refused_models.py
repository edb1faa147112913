"""A model that Respo cannot work with is an error when the node runs, with a line that helps."""

from __future__ import annotations

import pytest
from compatibility.refused import REFUSED


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.name)
def test_refused(refused, make_model, run_node, module, pack):
    model = refused.make(make_model)
    for node in ("RespoApplyModule", "RespoBalance"):
        with pytest.raises(pack.core.errors.RespoError) as caught:
            run_node(node, model=model, module=module)
        assert [part for part in refused.says if part not in str(caught.value)] == [], str(caught.value)
        assert run_node(node, model=model, module=module, strength=0.0)[0] is model  # off asks nothing of it
