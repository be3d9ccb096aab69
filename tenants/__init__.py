"""Who owns data, who acts, and the record of what they did."""
