"""What happens in the life of a server, under load: a swap, a start, a loss, too much, too long.

[[event]] ─► a case ─► its kind's function ─► a row, and the requests behind it
"""
