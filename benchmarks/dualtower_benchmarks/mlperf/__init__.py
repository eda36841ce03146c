"""MLPerf LoadGen as another generator: its scenarios, its rules and its verdict on our drivers."""
