"""Deployments of earlier releases keep working: their names on the wire, and their programs beside this tree's."""
