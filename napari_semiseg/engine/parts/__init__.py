"""What several methods share: losses, ramps, teachers, distance maps, prototypes."""
