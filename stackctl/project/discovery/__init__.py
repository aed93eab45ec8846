"""Finding the Ollama services and the services that use them in any Compose project.

Pure: texts come in through a :class:`~stackctl.project.discovery.source.Reader`,
a frozen :class:`~stackctl.project.discovery.findings.Findings` comes out.
"""
