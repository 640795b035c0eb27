"""Rules and rooms by themselves."""
