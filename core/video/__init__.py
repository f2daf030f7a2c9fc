"""Frames of videos: how many there are, what they are called, which labels belong to which."""
