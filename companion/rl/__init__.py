"""Reinforcement learning without gradients: exploration, tables, replay, targets, loops."""
