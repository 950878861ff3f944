"""Select, cut, deliver: immutable releases under an agreement, and the tickets that open them."""
