"""Run any loop: its workflows side by side, their histories, limits and ends; no stage kind is known here."""
