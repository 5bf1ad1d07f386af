"""The field machine for a share of its hour."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.field.machine import FieldMachine

TestField = FieldMachine.TestCase
TestField.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
