"""Ask for labels of a pool's candidates, gather, correct and hold them for each workflow."""
