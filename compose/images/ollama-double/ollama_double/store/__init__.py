"""Models: their names, the store on disk, the registry they come from, pulls and pushes."""
