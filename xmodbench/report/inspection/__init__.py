"""Looking at prepared data: pictures of every subject, with what the preparation found out about it."""
