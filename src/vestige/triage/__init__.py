"""Triage: alerts that were explained alike become clusters, and a cluster's label its members'."""
