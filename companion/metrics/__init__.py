"""Figures of rankings and of differences, one value per user, and their intervals."""
