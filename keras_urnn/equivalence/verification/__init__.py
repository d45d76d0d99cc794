"""Check the equivalence of two networks, by a proof and by running them."""
