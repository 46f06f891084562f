"""What AWS takes as names, descriptions and tags where Terraform's provider and emulators take more: of its API references."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rule:
    """A text of at most so many characters that matches as a whole."""

    pattern: str
    max_characters: int

    def takes(self, text: str) -> bool:
        """Whether AWS takes the text."""
        return len(text) <= self.max_characters and re.fullmatch(self.pattern, text, re.DOTALL) is not None


#: No ' among them, no ", no %, no accents.
_SECURITY_GROUP = r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]*"
#: Elastic Load Balancing API Reference, "CreateLoadBalancer", "CreateTargetGroup".
_BALANCER = Rule(r"(?!-|internal-)[A-Za-z0-9-]+(?<!-)", 32)
_IAM_NAME = r"[\w+=,.@-]+"
_IAM_TEXT = Rule(r"[\t\n\r\x20-\x7e\xa1-\xff]*", 1000)
_ECS_NAME = Rule(r"[A-Za-z0-9_-]+", 255)
_PRINTABLE = r"[^\x00-\x1f\x7f-\x9f]+"
#: By type of the resource and attribute.
RULES: Mapping[str, Mapping[str, Rule]] = {
    # EC2 API Reference, "CreateSecurityGroup", "IpRange".
    "aws_security_group": {
        "name": Rule(f"(?!sg-){_SECURITY_GROUP}", 255),
        "description": Rule(_SECURITY_GROUP, 255),
    },
    "aws_vpc_security_group_ingress_rule": {"description": Rule(_SECURITY_GROUP, 255)},
    "aws_vpc_security_group_egress_rule": {"description": Rule(_SECURITY_GROUP, 255)},
    "aws_lb": {"name": _BALANCER},
    "aws_lb_target_group": {"name": _BALANCER},
    # IAM API Reference, "CreateRole", "CreatePolicy".
    "aws_iam_role": {"name": Rule(_IAM_NAME, 64), "description": _IAM_TEXT},
    "aws_iam_policy": {"name": Rule(_IAM_NAME, 128), "description": _IAM_TEXT},
    # CloudWatch API Reference, "PutMetricAlarm", "PutDashboard".
    "aws_cloudwatch_metric_alarm": {"alarm_name": Rule(_PRINTABLE, 255), "alarm_description": Rule(_PRINTABLE, 1024)},
    "aws_cloudwatch_dashboard": {"dashboard_name": Rule(r"[A-Za-z0-9_-]+", 255)},
    "aws_cloudwatch_event_rule": {"name": Rule(r"[.\-_A-Za-z0-9]+", 64), "description": Rule(_PRINTABLE, 512)},
    "aws_cloudwatch_log_group": {"name": Rule(r"(?!aws/)[.\-_/#A-Za-z0-9]+", 512)},
    "aws_lambda_function": {"function_name": Rule(r"[A-Za-z0-9_-]+", 64), "description": Rule(_PRINTABLE, 256)},
    "aws_ecs_cluster": {"name": _ECS_NAME},
    "aws_ecs_service": {"name": _ECS_NAME},
    "aws_ecs_task_definition": {"family": _ECS_NAME},
    # Application Auto Scaling API Reference, "PutScalingPolicy", "PutScheduledAction".
    "aws_appautoscaling_policy": {"name": Rule(_PRINTABLE, 256)},
    "aws_appautoscaling_scheduled_action": {"name": Rule(r"(?! )[^\x00-\x1f\x7f-\x9f:/|]+(?<! )", 256)},
    "aws_sqs_queue": {"name": Rule(r"[A-Za-z0-9_-]+(\.fifo)?", 80)},
    "aws_dynamodb_table": {"name": Rule(r"[A-Za-z0-9_.-]{3,}", 255)},
    # S3 User Guide, "General purpose bucket naming rules".
    "aws_s3_bucket": {"bucket": Rule(r"(?!xn--|sthree-|amzn-s3-demo-)[a-z0-9][a-z0-9-]+[a-z0-9](?<!-s3alias)", 63)},
    # ECR API Reference, "CreateRepository": it begins with a-z, and no two of these follow each other.
    "aws_ecr_repository": {"name": Rule(r"[a-z][a-z0-9]*([._/-][a-z0-9]+)*", 256)},
    # Systems Manager API Reference, "PutParameter".
    "aws_ssm_parameter": {
        "name": Rule(r"(?!/?(?i:aws|ssm))(/[A-Za-z0-9_.-]+){1,15}", 1011),
        "description": Rule(_PRINTABLE, 1024),
        "value": Rule(r".+", 4096),
    },
}
#: Tagging AWS Resources User Guide, "Tag naming limits and requirements".
_TAG = r"[^\W_]|[ _.:/=+@-]"
TAG_KEY, TAG_VALUE = Rule(f"(?!(?i:aws):)({_TAG})+", 128), Rule(f"({_TAG})*", 256)


def refused(kind: str, values: Mapping[str, Any]) -> Iterator[str]:
    """What AWS would refuse of a resource of this type, as `attribute: text`; what is not set or not known is passed over."""
    for attribute, rule in RULES.get(kind, {}).items():
        text = values.get(attribute)
        if isinstance(text, str) and text and not rule.takes(text):
            yield f"{attribute}: {text}"
    for key, value in (values.get("tags") or {}).items():
        if not (TAG_KEY.takes(key) and TAG_VALUE.takes(value)):
            yield f"tags: {key} = {value}"
