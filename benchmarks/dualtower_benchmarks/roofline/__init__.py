"""Work of a query counted from its graph, and how near it comes to what the machine can do."""
