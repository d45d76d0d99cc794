"""Refuse what theorem 1 does not cover, with the reason and a way out."""
