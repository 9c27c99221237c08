"""Clients of a retriever server that ask at the same time; each keeps its connection."""

from __future__ import annotations

import http.client
import json
import threading


def ask(address: str, queries: list[str], clients: int) -> int:
    """Send each query as a request, from `clients` connections at once; how many were answered."""
    answered: list[int] = []

    def client(own: list[str]) -> None:
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        for query in own:
            body = json.dumps({"queries": [query], "topk": 3, "return_scores": True})
            connection.request("POST", "/retrieve", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            result = json.loads(answer.read())["result"]
            if answer.status != 200 or len(result[0]) != 3:
                raise SystemExit(f"the server answered {answer.status}")
            answered.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=client, args=(queries[n::clients],)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(answered) < len(queries):
        raise SystemExit(f"{address}: {len(answered)} of {len(queries)} requests were answered")
    return len(answered)
