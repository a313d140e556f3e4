"""Pictures of networks and populations, in a file or in characters."""
