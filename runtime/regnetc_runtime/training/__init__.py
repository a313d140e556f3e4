"""Training: a recipe, a run folder, and the loop between them."""
