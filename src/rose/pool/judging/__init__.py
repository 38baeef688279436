"""Judge an ensemble: the stop criterion, and how good it is on labelled samples that it has not seen."""
