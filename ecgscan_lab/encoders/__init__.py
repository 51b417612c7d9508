"""Towers that turn pages, signals and texts into features, and the heads and decoder trained on top of them."""
