"""From request to batch to instance: pure decisions, and one actor per model version that acts on them."""
