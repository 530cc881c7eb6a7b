"""Recommenders that need no gradient, the next-basket task, and how it is evaluated."""
