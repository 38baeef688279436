"""A pool that is too large to be predicted as a whole is looked at part by part."""
