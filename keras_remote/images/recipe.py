"""What an image is made of: its tag, and the steps of its build.

Two tags: the stack (jax, keras and what belongs to the accelerator) is an
image of its own, which all images with the same stack are built on. So a
changed requirement never installs jax again, nor does a colleague, whatever
builds: no layer cache, which Cloud Build's fresh machines do not have.
"""

import base64
import datetime
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_remote.images.requirements import Requirements

# What all images of a repository are called; their tags tell them apart.
IMAGE = "job"
_DOCKERFILE = "Dockerfile.runner"
# Has docker, a shell and the right to push, on every machine of Cloud Build.
_BUILDER = "gcr.io/cloud-builders/docker"
_LONGEST = datetime.timedelta(hours=1)
_WRITE = """\
mkdir -p "$FOLDER"
echo "$DOCKERFILE" | base64 -d > "$FOLDER/Dockerfile"
echo "$REQUIREMENTS" | base64 -d > "$FOLDER/requirements.txt"
docker build --tag "$IMAGE" --build-arg BASE="$BASE" "$FOLDER"
"""
# Pushed at once: who mends a requirement finds it there.
_STACK = f"""\
set -eu
if docker pull "$IMAGE" >/dev/null 2>&1; then
  echo "there already: $IMAGE"
  exit
fi
{_WRITE}docker push "$IMAGE"
"""
_ALL = f"set -eu\n{_WRITE}"


@dataclass(frozen=True)
class Recipe:
  """All that an image depends on.

  Attributes:
    base: the image that it is built on.
    category: cpu, gpu or tpu.
    dockerfile: the text of Dockerfile.runner.
  """

  base: str
  category: str
  requirements: Requirements
  dockerfile: str

  @property
  def tag(self) -> str:
    """The tag of the image."""
    return image_tag(
      self.base, self.category, self.requirements, self.dockerfile
    )

  @property
  def stack_tag(self) -> str:
    """The tag of what it is built on."""
    stack = Requirements(self.requirements.stack, ())
    tag = image_tag(self.base, self.category, stack, self.dockerfile)
    return f"stack-{tag}"


def image_tag(
  base_image: str, category: str, requirements: Requirements, dockerfile: str
) -> str:
  """The tag of the image: equal for equal content, 64 characters of hex.

  Nothing of keras_remote's version is in it: an upgrade rebuilds nothing.

  Args:
    category: cpu, gpu or tpu.
    dockerfile: the text of Dockerfile.runner.
  """
  stack, rest = list(requirements.stack), list(requirements.rest)
  content = json.dumps([base_image, category, stack, rest, dockerfile])
  return hashlib.sha256(content.encode()).hexdigest()


def image_name(project: str, location: str, repository: str) -> str:
  """What Artifact Registry calls a project's images, without a tag."""
  # A project of a domain, example.com:name, is a folder there.
  folder = project.replace(":", "/")
  return f"{location}-docker.pkg.dev/{folder}/{repository}/{IMAGE}"


def runner_dockerfile() -> str:
  """The text of Dockerfile.runner: here in a wheel, at the top of a clone."""
  installed = Path(__file__).with_name(_DOCKERFILE)
  clone = Path(__file__).parents[2] / _DOCKERFILE
  return (installed if installed.exists() else clone).read_text("utf-8")


def mark(tag: str) -> str:
  """The mark by which builds of this tag are found, whoever began them."""
  return f"keras-remote-{tag}"


def build_request(
  recipe: Recipe, image: str, logs: str | None, account: str | None = None
) -> dict[str, Any]:
  """The build, as Cloud Build takes it.

  Args:
    image: the image's name, without a tag.
    logs: gs://…, the folder of its log; None for the project's default.
    account: who builds, as projects/…/serviceAccounts/…; None for the
      project's default.
  """
  options = {"log_streaming_option": "STREAM_ON"}
  request: dict[str, Any] = {
    "steps": _steps(recipe, image),
    "images": [f"{image}:{recipe.tag}"],
    "tags": ["keras-remote", mark(recipe.tag)],
    "timeout": _LONGEST,
    "options": options,
  }
  if logs:
    options["logging"] = "GCS_ONLY"
    request["logs_bucket"] = logs
  elif account:  # The project's default bucket is the default account's alone.
    options["logging"] = "CLOUD_LOGGING_ONLY"
  if account:
    request["service_account"] = account
  return request


def _steps(recipe: Recipe, image: str) -> list[dict[str, Any]]:
  """They carry the files along, so that no bucket holds a source.

  Who builds then need not be allowed to read one.
  """
  stack, rest = recipe.requirements.stack, recipe.requirements.rest
  stack_image = f"{image}:{recipe.stack_tag}"
  dockerfile = recipe.dockerfile
  return [
    _step("stack", _STACK, recipe.base, stack_image, dockerfile, stack),
    # With the stack's once more: uv then finds versions that fit together.
    _step(
      *("image", _ALL, stack_image, f"{image}:{recipe.tag}", dockerfile),
      (*stack, *rest),
    ),
  ]


def _step(
  name: str,
  script: str,
  base: str,
  image: str,
  dockerfile: str,
  requirements: tuple[str, ...],
) -> dict[str, Any]:
  lines = "".join(f"{each}\n" for each in requirements)
  environ = {
    "BASE": base,
    "IMAGE": image,
    "FOLDER": name,
    "DOCKERFILE": _encoded(dockerfile),
    "REQUIREMENTS": _encoded(lines),
  }
  return {
    "id": name,
    "name": _BUILDER,
    "script": script,
    "env": [f"{name}={value}" for name, value in environ.items()],
  }


def _encoded(text: str) -> str:
  """For a variable, in which Cloud Build would replace what begins with $."""
  return base64.b64encode(text.encode()).decode()
