"""A compiler for network design spaces."""

__version__ = "0.1.0"
