"""Recording contributions: one batch-native path, and reading them back."""
