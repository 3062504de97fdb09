"""Where models come from: folders in Triton's layout, config.pbtxt, versions, and what has changed.

catalogue   the values: a model's entry, its versions, its configuration, all models together
pbtxt       config.pbtxt to a PartialConfig; what is not honoured is refused by name (refusal), with
            tensors, dynamic_batching, warmup, options for its parts | beside: the files that it names
normalised  a PartialConfig and what a worker found to the one complete ModelConfig of a version
formats     which engine a model file is for | versions: which version folders are served
watching    which models may have changed, as the system tells
folder      reading a folder that may hold links, devices and half a file
ensemble    the graph of models in an ensemble | parts: whether the models it names exist and fit
json_config a load's own configuration | staging: a load's own files
archives    what was sent as tar or zip, unpacked or refused | uploads: made a version by one rename
local       scan(folder) to a Catalogue | index: what differs between two of them

Scanning blocks on the disk: the controller does it in a thread. No text made here holds a path; the
reasons name the model's own files and nothing above them.
"""
