"""Large models and reinforcement learning for recommender systems: the package of the course.

Importing `companion` imports nothing heavy; each part is imported by its own name.
"""

__version__ = "0.1.0"
