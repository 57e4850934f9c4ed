"""Human labels of a study: rules, changes, storage and where they came from."""
