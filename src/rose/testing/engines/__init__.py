"""The parts of the engine contract."""
