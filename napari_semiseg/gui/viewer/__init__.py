"""What stands on the screen: the layers of one case, its maps and its slices."""
