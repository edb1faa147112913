"""Recording a run without modules, call by call, and making another run follow the record."""
