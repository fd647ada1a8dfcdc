"""Measurements at the size of production: not part of the product, and not run by its tests."""
