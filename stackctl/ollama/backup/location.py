"""Where the models are that are backed up or restored."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoreLocation:
    """Where an Ollama's models are on the engine.

    ``mount`` is ``--volumes-from CONTAINER`` or ``--volume NAME:/PATH`` as two arguments of ``docker run``, ``path``
    the store's directory inside, ``image`` one on the engine that has ``sh`` and ``tar``.
    """

    mount: tuple[str, str]
    path: str
    image: str
