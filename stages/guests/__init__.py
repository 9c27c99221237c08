"""Guests: small agents with the search protocols of other projects, taught as our base agent is."""
