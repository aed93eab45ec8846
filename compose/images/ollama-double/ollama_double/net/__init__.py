"""HTTP on a socket: connections, listeners, who may ask, and what a proxy or an enemy would do."""
