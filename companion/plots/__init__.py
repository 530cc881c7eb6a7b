"""Figures of the course: arrays in, `Axes` out, one style, labels in words."""
