"""label_colours"""
