"""`dualtower deploy`: from a bundle to the files that run and watch it on the stock server.

settings  image_check  sizes          what is asked, whether the image can serve it, what it needs
    └──► pod        the one description of the container: command, environment, files, resources
           └──► dockerfile  compose  workload  networking  kustomize  kserve
queries ──► alerts  dashboard  scraping        by the metrics that the servers export
readme            the commands
files             all of it as {path: text}; `output` writes it whole or not at all
"""

from dualtower_serving.deploy.files import Deployment, deployment
from dualtower_serving.deploy.output import write
from dualtower_serving.deploy.settings import Settings

__all__ = ["Deployment", "Settings", "deployment", "write"]
