"""What the user wrote: the frozen models, loading with positions, secrets that never print."""
