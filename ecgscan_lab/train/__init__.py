"""Recipes, the signal teacher, the training loop and its checkpoints."""
