"""The rules, one file each, each ending in `RULE`; what a rule is stands in `check.rule`."""
