"""The ensemble: its members, what they predict, and what the columns of predictions mean."""
