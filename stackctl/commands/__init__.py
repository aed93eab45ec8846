"""One use case a file: a function of explicit arguments that returns an Outcome."""
