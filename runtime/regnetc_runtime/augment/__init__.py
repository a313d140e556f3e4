"""Images that are changed at random before a network learns from them."""
