"""The five checks of `python -m stages.tools.check_gpu`: what only a card can show.

Each is a function of (an empty folder, whether a GPU is to be used) that returns figures and raises
InputError where something is not as it must be. Without a GPU it goes as far as it can, so that a
broken import, configuration or argument shows on any machine.
"""
