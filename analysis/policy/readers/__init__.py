"""Readers of what is deployed, one file a mesh, each ending in `READER`; the contract is `policy.deployed.Reader`."""
