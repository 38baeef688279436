"""The workflow: what the user registers, and the loop that learns from it."""
