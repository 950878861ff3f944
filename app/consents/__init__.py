"""Which policy governs what: the consents of contributions, standing consents, platform floors, and what narrows them."""
