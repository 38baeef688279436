"""Run a task's function: await it to its end, copy its result, show what it prints."""
