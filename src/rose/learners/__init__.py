"""Offer the public classes: what users construct, decorate and run."""
