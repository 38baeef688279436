"""Handle a run directory as a file system has it: its places, what is synced, and large results as files."""
