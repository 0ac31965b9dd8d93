"""Lists the packages: the four top-level folders install below the namespace package `meshslo`."""

from setuptools import find_packages, setup

FOLDERS = ("telemetry", "analysis", "dashboards", "demo")
PACKAGES = find_packages(include=[pattern for folder in FOLDERS for pattern in (folder, f"{folder}.*")])

setup(packages=[f"meshslo.{package}" for package in PACKAGES])
