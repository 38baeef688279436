"""Every block of the README and of docs/ runs, and `help()` says what is so."""
