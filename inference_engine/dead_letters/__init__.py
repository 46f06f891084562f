"""Messages that no consumer could finish: their jobs end as ERROR, and they are kept for a redrive."""
