"""Keep the run's SQLite database: its tables, transactions, errors, and what is written in few statements."""
