"""Any loop: its workflows side by side, their histories, limits and ends. No stage kind is known."""
