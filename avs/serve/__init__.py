"""`avs serve`: search in the browser, by one page and one HTTP API."""
