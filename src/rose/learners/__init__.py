"""The public classes: what users construct, decorate and run."""
