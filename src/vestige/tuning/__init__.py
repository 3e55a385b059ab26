"""Searching for hyper-parameters: trials on the training part, the choice by validation. The test part
stays shut.

The search itself is Optuna's, which only `study` and what is above it import.
"""
