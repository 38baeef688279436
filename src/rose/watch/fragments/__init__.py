"""Make HTML of what can be said of a run: the report is all of it in one file, the live page serves it piece by piece.

All that comes from the run is escaped; there are no inline styles and no inline handlers, so that a strict content
security policy holds.
"""
