"""The demo's services: gateway, retriever, reranker and generator, each a FastAPI application instrumented with meshslo.

`python -m meshslo.demo.services REPLICA` runs one replica; REPLICA is the JSON of `replica.Replica`.
"""
