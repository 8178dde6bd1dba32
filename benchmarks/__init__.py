"""Measured figures against the stated goals for speed."""
