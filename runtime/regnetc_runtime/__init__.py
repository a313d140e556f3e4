"""Runs networks that regnetc has compiled. Nothing is imported here, so that importing costs nothing."""
