"""Labelled images, wherever they lie, as tensors."""
