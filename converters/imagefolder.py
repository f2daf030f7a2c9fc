"""imagefolder"""
