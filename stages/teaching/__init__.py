"""Demonstrations and judgements in scenes of their own: what base models are taught with."""
