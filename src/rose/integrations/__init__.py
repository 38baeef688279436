"""Hold trackers: a file each, so that none needs what another does."""
