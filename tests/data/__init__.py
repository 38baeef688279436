"""What a pool, a label, a model and a prediction may be: rows that are tests, and of which `docs/data.md` is made."""
