"""The kinds of resources that are told apart, as Pulumi calls them."""

BUCKET = "gcp:storage/bucket:Bucket"
CLUSTER = "gcp:container/cluster:Cluster"
POOL = "gcp:container/nodePool:NodePool"
REPOSITORY = "gcp:artifactregistry/repository:Repository"
# What programs call the repository of images.
IMAGES = "repository"
SERVICE = "gcp:projects/service:Service"
