"""The whole loop, played in the real viewer: what it does, its hands, its camera, its stage."""
