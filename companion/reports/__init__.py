"""From an executed chapter to a report: figures, provenance, one self-contained page."""
