"""Proximal policy optimisation of an agent that searches: a small loop around verl's maths."""
