"""Take in what a pool is given: candidates of every form, labels, extra samples, coordinates."""
