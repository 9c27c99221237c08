"""Guests: base agents that talk as other projects' agents do, taught what ours is taught."""
