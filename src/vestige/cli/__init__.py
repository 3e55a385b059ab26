"""The verbs a person types. Only this room catches errors and talks to the terminal."""
