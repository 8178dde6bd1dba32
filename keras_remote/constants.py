"""Facts that every room may use and none of them owns."""

VERSION = "0.1.0"

# Variables that users set; those that a first process is given belong to
# job/launch.py, those of options to core/options.py.
HOME_VARIABLE = "KERAS_REMOTE_HOME"
OUTPUT_DIR_VARIABLE = "KERAS_REMOTE_OUTPUT_DIR"

# What installs the clients of Google Cloud and Kubernetes.
INSTALL_GCP = "pip install 'keras-remote[gcp]'"

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
