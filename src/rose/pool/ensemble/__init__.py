"""Train the ensemble, ask its members, and find what the columns of their predictions mean."""
