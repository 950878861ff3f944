"""The acts that cross consents, agreements and releases: scope, withdraw, recall."""
