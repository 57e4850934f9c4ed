"""Floor 5: what several methods share: losses, ramps, teachers, distance maps, prototypes."""
