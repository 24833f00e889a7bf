"""Files shipped as package data, in folders by use; no code.

* `trial`: the objects of one trial environment, one kind per file.
* `platform`: what a cluster gets once.
* `local`: what the servers of this machine need: pinned Go modules, configurations.
"""
