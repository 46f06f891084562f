from ..model_authoring.tiny_models import write_tiny_models as write_tiny_models
