"""label_maps"""
