"""Training and measuring: labelled data in, weights and figures out."""
