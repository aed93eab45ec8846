"""The command line, by Typer: options to a command, its Outcome to the console, its errors to exit codes."""
