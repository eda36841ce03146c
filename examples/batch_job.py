"""A nightly job: recommendations for every user of a file, many calls at a time.

dualtower serve demo/bundle --port 8500
python examples/batch_job.py localhost:8500 10 < users.jsonl > recommendations.jsonl

A line in:  {"user_id": "u1", "history": ["rye bread", "oat milk"]}
A line out: {"user_id": "u1", "item_ids": [...], "fingerprint": "..."}, in the order of the input
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import Any

from dualtower_clients import AsyncRecommender, CallPolicy, RetryPolicy

ROWS = 32  # histories in a call
CALLS = 8  # under way at a time


async def answers(
    recommender: AsyncRecommender, users: Iterable[dict[str, Any]], k: int
) -> AsyncIterator[dict[str, Any]]:
    """The users with `k` items each, in order; no more than `CALLS` batches are in memory."""

    async def ask(batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = await recommender.recommend_batch([user["history"] for user in batch], k=k)
        return [
            {
                "user_id": user["user_id"],
                "item_ids": list(best.item_ids),
                "fingerprint": best.fingerprint,
            }
            for user, best in zip(batch, found, strict=True)
        ]

    users = iter(users)
    running: list[asyncio.Task[list[dict[str, Any]]]] = []
    try:
        while True:
            while len(running) < CALLS and (batch := list(islice(users, ROWS))):
                running.append(asyncio.create_task(ask(batch)))
            if not running:
                return
            for answer in await running.pop(0):
                yield answer
    finally:
        for task in running:
            task.cancel()


async def main(address: str, k: str = "10") -> None:
    """Answers stdin on stdout."""
    policy = CallPolicy(retry=RetryPolicy(max_attempts=6, max_pause_s=5.0))  # nobody is waiting
    users = (json.loads(line) for line in sys.stdin if line.strip())
    count = 0
    async with (
        AsyncRecommender(address, timeout_s=60.0, policy=policy) as asked,
        await asked.pinned() as recommender,  # one bundle for all users, also while another loads
    ):
        async for answer in answers(recommender, users, int(k)):
            print(json.dumps(answer, ensure_ascii=False))
            count += 1
    print(f"{count} users", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
