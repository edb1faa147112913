"""Pictures that the nodes draw: labelled sheets, heat maps, charts."""
