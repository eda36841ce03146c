"""What a process does with clients around a fork; test_fork.py runs it, and reads what it prints.

    python forking.py CASE ADDRESS

It is a program of its own, because a fork concerns all that a process has done with gRPC before.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable

from dualtower_clients import AsyncServingClient, ClientError, ServingClient


def in_child(act: Callable[[], object]) -> None:
    """Forks, and waits until the child has printed what `act` gave or raised."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        try:
            act()
            print("child: an answer", flush=True)
        except ClientError as error:
            print(f"child: {type(error).__name__}: {error}", flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        print(f"child: ended with status {status}", flush=True)


def ask(client: ServingClient) -> object:
    return client.predict("m", {}, timeout_s=5)


def ask_with_a_new_client(address: str) -> object:
    with ServingClient(address) as client:
        return ask(client)


async def ask_async(client: AsyncServingClient) -> object:
    return await client.predict("m", {}, timeout_s=5)


def slow_call(client: ServingClient) -> threading.Thread:
    """Of a second; it waits inside gRPC when this returns."""
    slow = threading.Thread(target=lambda: client.predict("m", {}, signature="slow", timeout_s=30))
    slow.start()
    time.sleep(0.3)
    return slow


def used_before(address: str) -> None:
    with ServingClient(address) as client:
        ask(client)
        in_child(lambda: ask(client))
        ask(client)


def made_before(address: str) -> None:
    with ServingClient(address) as client:
        in_child(lambda: ask(client))
        ask(client)


def async_before(address: str) -> None:
    client = AsyncServingClient(address)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask_async(client))
    in_child(lambda: asyncio.run(ask_async(client)))
    loop.run_until_complete(ask_async(client))
    loop.run_until_complete(client.close())
    loop.close()


def closed_in_the_child(address: str) -> None:
    with ServingClient(address) as client:
        ask(client)
        in_child(client.close)
        ask(client)


def closed_in_the_child_while_calls_run(address: str) -> None:
    with ServingClient(address) as client:
        slow = slow_call(client)
        in_child(client.close)
        slow.join()


def made_after(address: str) -> None:
    with ServingClient(address) as client:
        ask(client)
        in_child(lambda: ask_with_a_new_client(address))
        ask(client)


def made_after_while_calls_run(address: str) -> None:
    with ServingClient(address) as client:
        slow = slow_call(client)
        in_child(lambda: ask_with_a_new_client(address))
        slow.join()


def made_after_without_support(address: str) -> None:
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    with ServingClient(address) as client:
        ask(client)
        in_child(lambda: ask_with_a_new_client(address))
        ask(client)


def nothing_before(address: str) -> None:
    in_child(lambda: ask_with_a_new_client(address))
    ask_with_a_new_client(address)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
    print("parent: went on")
