"""Ask, offer, sign: a lab's request becomes terms, and the terms an agreement signed by the lab's own key."""
