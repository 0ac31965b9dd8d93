"""What it means: rollups, estimates, recommendations, emitted policies. Pure: tables in, values out."""
