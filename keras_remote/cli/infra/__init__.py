"""What `keras-remote up` makes on Google Cloud, as Pulumi resources.

One file a component: a function from InfraConfig to resources. `program.py`
has their order. Nothing else imports pulumi, which takes its time to load.
"""
