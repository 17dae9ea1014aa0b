"""Presets: functions that build trees with published settings. Every file here is found by walking."""
