"""Backups of a model store: one file, written and read as a stream, compressed where that saves space, checksummed."""
