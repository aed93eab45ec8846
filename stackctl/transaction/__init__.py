"""Observed state, plan, steps with undo, journal, apply."""
