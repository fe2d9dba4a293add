"""What each call of the API does with a request."""
