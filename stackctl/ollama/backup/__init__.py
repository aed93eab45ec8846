"""A backup of a model store: one file, streamed, compressed where that pays, checked to the last byte."""
