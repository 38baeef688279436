"""Hold the built-in acquisition methods, a file each, and the arithmetic that they share."""
