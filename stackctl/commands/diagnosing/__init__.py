"""``diagnose``, ``explain`` and ``diagnose --fix``: collect what can be seen, have it judged, repair."""
