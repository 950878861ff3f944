"""Sayso: consent, policy and signed release between people who evaluate models and those who want their work."""
