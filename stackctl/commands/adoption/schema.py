"""The JSON Schema of ``stackctl.yaml``, from the models that read it."""

from __future__ import annotations

import json

from stackctl.config.models import StackConfig
from stackctl.outcome import Outcome, Verbatim


def schema() -> Outcome:
    """The schema, as text and as the JSON document itself."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "stackctl.yaml",
        **StackConfig.model_json_schema(),
    }
    return Outcome("stackctl.schema/1", document, [Verbatim(json.dumps(document, indent=2) + "\n")])
