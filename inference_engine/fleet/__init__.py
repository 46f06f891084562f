"""Who holds which label, who asks for one, and who loads it."""
