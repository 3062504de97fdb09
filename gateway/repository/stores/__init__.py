"""Models in object stores: S3, GCS, Azure and plain HTTP, beside local folders.

objects     a store as a listing, small reads and downloads, through obstore
listing     names and sizes become models, versions and files; hostile names are refused. Pure
manifest    what a complete version must hold, where somebody has written that down. Pure
source      one store: what it offers, with its small files mirrored here
cache       files and version folders on this machine's disk, by their content, within a bound

Nothing large is read to know what there is; a version's files come when it is to be loaded.
"""
