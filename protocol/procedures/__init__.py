"""Procedures: `pack` reads the tables, `engine` runs them, `facts` checks what an event says."""
