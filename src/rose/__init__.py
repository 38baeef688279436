"""ROSE: uncertainty-driven active learning. The public names below are imported on first use."""
