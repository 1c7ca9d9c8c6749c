"""Two result sets compared: is one worse?"""
