"""Model definitions, one file a family."""
