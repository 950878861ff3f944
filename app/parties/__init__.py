"""Who takes part: platforms, contributors as pairwise pseudonyms, labs and their keys; tokens, claims and receipts."""
