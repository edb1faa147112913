"""How Train Module runs the trainer: on a borrowed model, with progress and previews on the node."""
