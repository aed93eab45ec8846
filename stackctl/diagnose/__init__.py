"""The table of checks, probes and their vantage points, causes, remedies."""
