"""Run one task of a workflow, durably: what the user registered, how it is configured and called. Knows no loop."""
