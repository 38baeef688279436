"""A task's function where it runs: awaited to its end, its result copied, what it prints shown."""
