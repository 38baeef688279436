"""Ship values and the user's script from the driver to where tasks run."""
