"""From the scans and the machine to every number that training needs."""
