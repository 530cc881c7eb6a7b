"""The checkers of the exercises: one module for each chapter, `chNN`."""
