"""`dualtower demo`: the whole road on real grocery data, from the log to live recommendations."""
