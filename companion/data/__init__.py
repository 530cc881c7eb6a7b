"""From a log file to clean events, features, splits and sequences."""
