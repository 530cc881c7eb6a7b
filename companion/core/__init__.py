"""What every other part may use: paths, seeds, checks, frames."""
