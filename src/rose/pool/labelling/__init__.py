"""Labels of a pool's candidates: asked for, gathered, given, corrected, and held by each workflow."""
