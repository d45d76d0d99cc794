"""The certificate of an equivalence: what is proved, and what runs show."""
