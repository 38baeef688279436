"""Run tasks in pools that are somebody else's: what the driver and a host in a worker of theirs say to each other."""
