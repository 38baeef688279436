"""One task of a workflow, durably: what the user registered, how it is configured, called and run. No loop is known."""
