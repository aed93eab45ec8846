"""``stackctl.yaml``: frozen models, loading with line numbers for errors, secrets that are never printed."""
