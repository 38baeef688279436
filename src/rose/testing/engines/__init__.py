"""Test an engine: the parts of its contract."""
