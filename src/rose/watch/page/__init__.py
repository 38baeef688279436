"""Serve the live page: the runs of a directory, as they go on, to a browser on the same machine."""
