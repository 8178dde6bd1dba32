"""The services of Google Cloud that a project must have enabled."""

import pulumi
from pulumi_gcp import projects

from keras_remote.cli.config import InfraConfig

# What each is for.
SERVICES = {
  "artifactregistry": "images of jobs",
  "cloudbuild": "builds of images",
  "cloudresourcemanager": "who may do what in the project",
  "compute": "machines and their network",
  "container": "the cluster",
  "containerfilesystem": "images that start before they are pulled",
  "iam": "service accounts",
  "iamcredentials": "what jobs are towards other services",
  "logging": "logs of machines and builds",
  "monitoring": "figures of machines",
  "serviceusage": "whether a service is enabled",
  "storage": "jobs",
}


def services(config: InfraConfig) -> list[pulumi.Resource]:
  """Enables each; none is disabled again, as others may use it."""
  return [
    projects.Service(
      f"api-{name}",
      project=config.project,
      service=f"{name}.googleapis.com",
      disable_on_destroy=False,
    )
    for name in SERVICES
  ]
