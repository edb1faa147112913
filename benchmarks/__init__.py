"""Measurements on a real ComfyUI: every published number comes from a command here."""
