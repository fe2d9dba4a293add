"""A rehearsal: recipes of a team, run on collections that are rendered on the spot: `avs demo --rehearse`."""
