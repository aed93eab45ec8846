"""Typer: options in, Outcome out; the one error boundary."""
