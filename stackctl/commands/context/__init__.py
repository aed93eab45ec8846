"""What every command starts from: the session, the configuration, the Compose project, the state directory."""
