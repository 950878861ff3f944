"""The public log: leaves in the transaction of the act, tiles and checkpoints after it, proofs and receipts from them."""
