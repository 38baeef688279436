"""Engines that are somebody else's pool: what the driver and a worker of another system say to each other."""
