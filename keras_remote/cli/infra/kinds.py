"""The kinds of resources that are told apart, as Pulumi calls them."""

BUCKET = "gcp:storage/bucket:Bucket"
CLUSTER = "gcp:container/cluster:Cluster"
NAT = "gcp:compute/routerNat:RouterNat"
POOL = "gcp:container/nodePool:NodePool"
REPOSITORY = "gcp:artifactregistry/repository:Repository"
# What programs call the one bucket, cluster and repository of images.
JOBS, GKE, IMAGES = "bucket", "cluster", "repository"
# By it is told that an `up` made it, and no build.
IMAGES_DESCRIPTION = "Images of keras_remote's jobs"
SERVICE = "gcp:projects/service:Service"
