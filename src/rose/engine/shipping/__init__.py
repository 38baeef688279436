"""How values and the user's script travel from the driver to where tasks run."""
