"""What an account holds, by kind, as AWS's own list calls tell it: after a destroy, exactly what was there before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .aws_emulators import AwsEmulators

Client = Any
Names = Callable[[Client], Iterable[str]]


def inventory(emulators: AwsEmulators) -> dict[str, set[str]]:
    """Names or ids of what there is of each kind."""
    clients: dict[str, Client] = {}
    found = {}
    for kind, (service, names) in KINDS.items():
        if service not in clients:
            clients[service] = emulators.client(service)
        found[kind] = set(names(clients[service]))
    for client in clients.values():
        client.close()
    return found


def difference(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, set[str]]:
    """What came, by kind."""
    return {kind: more for kind in after if (more := after[kind] - before[kind])}


def _listed(operation: str, items: str, name: str | None = None, **parameters: Any) -> Names:
    """All of `items` in all pages of an operation, each by its field `name`, or as it is."""

    def names(client: Client) -> Iterable[str]:
        if client.can_paginate(operation):
            pages = client.get_paginator(operation).paginate(**parameters)
        else:
            pages = [getattr(client, operation)(**parameters)]
        return [item[name] if name else item for page in pages for item in page.get(items, [])]

    return names


def _clusters(ecs: Client) -> list[str]:
    """Those that were not deleted: ECS goes on telling of deleted clusters and services for a while, as INACTIVE."""
    arns = ecs.list_clusters()["clusterArns"]
    clusters = ecs.describe_clusters(clusters=arns)["clusters"] if arns else []
    return [cluster["clusterArn"] for cluster in clusters if cluster["status"] == "ACTIVE"]


def _services(ecs: Client) -> list[str]:
    found = []
    for cluster in _clusters(ecs):
        arns = ecs.list_services(cluster=cluster)["serviceArns"]
        services = ecs.describe_services(cluster=cluster, services=arns)["services"] if arns else []
        found += [service["serviceArn"] for service in services if service["status"] != "INACTIVE"]
    return found


def _undeleted(operation: str, items: str, name: str) -> Names:
    """The same for what EC2 goes on telling of for a while, as deleted."""

    def names(ec2: Client) -> Iterable[str]:
        pages = ec2.get_paginator(operation).paginate()
        return [item[name] for page in pages for item in page[items] if item["State"].lower() != "deleted"]

    return names


_ECS = {"ServiceNamespace": "ecs"}

#: Kind of resource: (boto3 service, names or ids of all there are).
KINDS: dict[str, tuple[str, Names]] = {
    "queue": ("sqs", _listed("list_queues", "QueueUrls")),
    "table": ("dynamodb", _listed("list_tables", "TableNames")),
    "bucket": ("s3", _listed("list_buckets", "Buckets", "Name")),
    "repository": ("ecr", _listed("describe_repositories", "repositories", "repositoryName")),
    "cluster": ("ecs", _clusters),
    "service": ("ecs", _services),
    "task definition": ("ecs", _listed("list_task_definitions", "taskDefinitionArns", status="ACTIVE")),
    "scalable target": (
        "application-autoscaling",
        _listed("describe_scalable_targets", "ScalableTargets", "ResourceId", **_ECS),
    ),
    "scaling policy": (
        "application-autoscaling",
        _listed("describe_scaling_policies", "ScalingPolicies", "PolicyName", **_ECS),
    ),
    "scheduled scaling": (
        "application-autoscaling",
        _listed("describe_scheduled_actions", "ScheduledActions", "ScheduledActionName", **_ECS),
    ),
    "load balancer": ("elbv2", _listed("describe_load_balancers", "LoadBalancers", "LoadBalancerArn")),
    "target group": ("elbv2", _listed("describe_target_groups", "TargetGroups", "TargetGroupArn")),
    "alarm": ("cloudwatch", _listed("describe_alarms", "MetricAlarms", "AlarmName")),
    "composite alarm": ("cloudwatch", _listed("describe_alarms", "CompositeAlarms", "AlarmName")),
    "dashboard": ("cloudwatch", _listed("list_dashboards", "DashboardEntries", "DashboardName")),
    "log group": ("logs", _listed("describe_log_groups", "logGroups", "logGroupName")),
    "function": ("lambda", _listed("list_functions", "Functions", "FunctionName")),
    "event source mapping": ("lambda", _listed("list_event_source_mappings", "EventSourceMappings", "UUID")),
    "event rule": ("events", _listed("list_rules", "Rules", "Name")),
    "schedule": ("scheduler", _listed("list_schedules", "Schedules", "Name")),
    "parameter": ("ssm", _listed("describe_parameters", "Parameters", "Name")),
    "topic": ("sns", _listed("list_topics", "Topics", "TopicArn")),
    "key alias": ("kms", _listed("list_aliases", "Aliases", "AliasName")),
    "role": ("iam", _listed("list_roles", "Roles", "RoleName")),
    "policy": ("iam", _listed("list_policies", "Policies", "PolicyName", Scope="Local")),
    "instance profile": ("iam", _listed("list_instance_profiles", "InstanceProfiles", "InstanceProfileName")),
    "VPC": ("ec2", _listed("describe_vpcs", "Vpcs", "VpcId")),
    "subnet": ("ec2", _listed("describe_subnets", "Subnets", "SubnetId")),
    "route table": ("ec2", _listed("describe_route_tables", "RouteTables", "RouteTableId")),
    "security group": ("ec2", _listed("describe_security_groups", "SecurityGroups", "GroupId")),
    "VPC endpoint": ("ec2", _undeleted("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId")),
    "internet gateway": ("ec2", _listed("describe_internet_gateways", "InternetGateways", "InternetGatewayId")),
    "NAT gateway": ("ec2", _undeleted("describe_nat_gateways", "NatGateways", "NatGatewayId")),
    "address": ("ec2", _listed("describe_addresses", "Addresses", "AllocationId")),
    "flow log": ("ec2", _listed("describe_flow_logs", "FlowLogs", "FlowLogId")),
    "launch template": ("ec2", _listed("describe_launch_templates", "LaunchTemplates", "LaunchTemplateName")),
}
