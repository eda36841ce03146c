"""`dualtower status`: what a server holds, whether its models are a pair, and how busy it is."""
