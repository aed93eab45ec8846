"""The `ollama` command."""


class CliError(Exception):
    """Ends the command with `Error: text` and status 1."""
