"""Keep what was learned: results as a directory, read again by programs that have not made them."""
