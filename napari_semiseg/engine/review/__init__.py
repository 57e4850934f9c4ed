"""Which answers deserve a look, where, and what to label next; and what became of a person's time."""
