"""Comparisons that are too long for a page: how they are made, and the tables that they left."""
