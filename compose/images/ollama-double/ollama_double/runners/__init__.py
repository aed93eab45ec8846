"""Loaded models: the scheduler, and what they say."""
