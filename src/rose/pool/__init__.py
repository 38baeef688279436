"""Run the loop over a pool of candidates: label, train, judge, score, choose."""
