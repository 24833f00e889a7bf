"""Files shipped as package data, in folders by use; no code.

* `trial`: the objects of one trial environment, one kind per file.
* `platform`: what a cluster gets once.
* `apiserver`: what is given to the API server itself, as a file.
* `local`: what the servers of this machine need: pinned Go modules, configurations.
"""
