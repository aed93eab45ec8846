"""``up``, ``switch`` and ``rollback``: from what is wanted and what is there to a verified stack."""
