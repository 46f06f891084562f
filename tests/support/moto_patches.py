"""What moto answers differently from AWS where the Terraform provider can tell: each patch with what both answer.

Written for moto 5.2 (pinned). A patch whose target has moved fails at start, by name, and not as an endless retry or a
plan that is never empty.
"""

from __future__ import annotations

import json
from typing import Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ecs.responses import EC2ContainerServiceResponse

#: Fields of CreateService that DescribeServices returns as they were given (Amazon ECS API Reference, "Service"), by
#: moto's name for them. moto drops all of these.
ECS_SERVICE_FIELDS = {
    "availabilityZoneRebalancing": "availability_zone_rebalancing",
    "capacityProviderStrategy": "capacity_provider_strategy",
    "deploymentConfiguration": "deployment_configuration",
    "enableECSManagedTags": "enable_ecs_managed_tags",
    "enableExecuteCommand": "enable_execute_command",
    "healthCheckGracePeriodSeconds": "health_check_grace_period_seconds",
    "placementConstraints": "placement_constraints",
    "placementStrategy": "placement_strategy",
}


def apply_all() -> None:
    """Patch the moto of this process. Raises AttributeError when moto has moved what a patch replaces."""
    scaling_target_tags()
    ecs_service_fields()
    security_rule_descriptions()


def scaling_target_tags() -> None:
    """Application Auto Scaling has ListTagsForResource, TagResource and UntagResource; moto has none of the three.

    It answers them with 500, which the provider retries for ever, and it drops the tags of RegisterScalableTarget.
    """
    tags: dict[str, dict[str, str]] = {}
    register = ApplicationAutoScalingResponse.register_scalable_target

    def register_scalable_target(self: ApplicationAutoScalingResponse) -> str:
        answer = register(self)
        tags.setdefault(json.loads(answer)["ScalableTargetARN"], {}).update(self._get_param("Tags") or {})
        return answer

    def list_tags_for_resource(self: ApplicationAutoScalingResponse) -> str:
        return json.dumps({"Tags": tags.get(self._get_param("ResourceARN"), {})})

    def tag_resource(self: ApplicationAutoScalingResponse) -> str:
        tags.setdefault(self._get_param("ResourceARN"), {}).update(self._get_param("Tags"))
        return "{}"

    def untag_resource(self: ApplicationAutoScalingResponse) -> str:
        for key in self._get_param("TagKeys"):
            tags.get(self._get_param("ResourceARN"), {}).pop(key, None)
        return "{}"

    for method in (register_scalable_target, list_tags_for_resource, tag_resource, untag_resource):
        setattr(ApplicationAutoScalingResponse, method.__name__, method)


def ecs_service_fields() -> None:
    """DescribeServices tells a service's capacity providers and the rest of what it was created with; moto drops it."""
    create = EC2ContainerServiceResponse.create_service

    def create_service(self: EC2ContainerServiceResponse) -> Any:
        answer = create(self)
        cluster, name = self._get_param("cluster", "default"), self._get_param("serviceName")
        services, _ = self.ecs_backend.describe_services(cluster, [name])
        for parameter, attribute in ECS_SERVICE_FIELDS.items():
            if (value := self._get_param(parameter)) is not None:
                setattr(services[0], attribute, value)
        return answer

    EC2ContainerServiceResponse.create_service = create_service  # type: ignore[method-assign]


def security_rule_descriptions() -> None:
    """A rule of a security group may have a description whatever it refers to; moto knows it of addresses only.

    It drops the description of rules that name another group or a prefix list.
    """
    described: Any = SecurityGroupRule.description
    create = SecurityGroupRule.__init__

    def init(self: Any, *arguments: Any, **named: Any) -> None:
        create(self, *arguments, **named)
        # Positions of moto's own calls: backend, protocol, group, from, to, addresses, other group, prefix list.
        referred = [one for one in arguments[6:8] if one]
        self.reference_description = referred[0].get("Description") if referred else None

    def description(self: Any) -> Any:
        return described.fget(self) or self.reference_description

    SecurityGroupRule.__init__ = init  # type: ignore[method-assign]
    SecurityGroupRule.description = property(description)  # type: ignore[assignment]
