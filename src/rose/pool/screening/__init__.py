"""Look part by part at a pool that is too large to be predicted as a whole."""
